/* SPDX-License-Identifier: BSD-3-Clause */
/* An 8250 with a FIFO, on standard output and input. What the guest sends is
 * out at once, so its transmitter is always empty. */
#include <linux/serial_reg.h>
#include <string.h>
#include <unistd.h>

#include "minivmm.h"

static unsigned fill(const struct serial *serial)
{
    return (serial->head - serial->tail) % sizeof(serial->fifo);
}

/* The most urgent reason for an interrupt. */
static uint8_t reason(const struct serial *serial)
{
    if ((serial->ier & UART_IER_RDI) && fill(serial) > 0) {
        return UART_IIR_RDI;
    }
    if ((serial->ier & UART_IER_THRI) && serial->thr_empty) {
        return UART_IIR_THRI;
    }
    return UART_IIR_NO_INT;
}

static void update_irq(struct vm *vm)
{
    kvm_irq(vm, GSI_SERIAL, reason(&vm->serial) != UART_IIR_NO_INT);
}

void serial_reset(struct vm *vm)
{
    struct serial *serial = &vm->serial;

    pthread_mutex_lock(&serial->lock);
    serial->ier = serial->lcr = serial->mcr = serial->scratch = 0;
    serial->divisor = 12;
    serial->thr_empty = false;
    serial->head = serial->tail = 0;
    pthread_mutex_unlock(&serial->lock);
}

static void transmit(struct serial *serial, uint8_t value)
{
    if (serial->mcr & UART_MCR_LOOP) {
        serial->fifo[serial->head++ % sizeof(serial->fifo)] = value;
    } else {
        while (write(STDOUT_FILENO, &value, 1) < 0) {
            break; /* nobody listens: the guest need not care */
        }
    }
    serial->thr_empty = true;
}

static uint8_t receive(struct serial *serial)
{
    return fill(serial) > 0
               ? serial->fifo[serial->tail++ % sizeof(serial->fifo)]
               : 0;
}

/* A loopback shows the outputs on the inputs: that is how drivers probe. */
static uint8_t modem_status(const struct serial *serial)
{
    const uint8_t mcr = serial->mcr;

    if (!(mcr & UART_MCR_LOOP)) {
        return UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD;
    }
    return (uint8_t)((mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) |
                     (mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) |
                     (mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) |
                     (mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0));
}

static uint8_t read_register(struct serial *serial, unsigned offset)
{
    const bool divisor = (serial->lcr & UART_LCR_DLAB) != 0;
    uint8_t why;

    switch (offset) {
    case UART_RX:
        return divisor ? (uint8_t)serial->divisor : receive(serial);
    case UART_IER:
        return divisor ? (uint8_t)(serial->divisor >> 8) : serial->ier;
    case UART_IIR:
        why = reason(serial);
        if (why == UART_IIR_THRI) {
            serial->thr_empty = false;
        }
        return why | 0xc0; /* a 16550A */
    case UART_LCR:
        return serial->lcr;
    case UART_MCR:
        return serial->mcr;
    case UART_LSR:
        return UART_LSR_TEMT | UART_LSR_THRE |
               (fill(serial) > 0 ? UART_LSR_DR : 0);
    case UART_MSR:
        return modem_status(serial);
    default:
        return serial->scratch;
    }
}

static void write_register(struct serial *serial, unsigned offset,
                           uint8_t value)
{
    const bool divisor = (serial->lcr & UART_LCR_DLAB) != 0;

    switch (offset) {
    case UART_TX:
        if (divisor) {
            serial->divisor = (uint16_t)((serial->divisor & 0xff00) | value);
        } else {
            transmit(serial, value);
        }
        return;
    case UART_IER:
        if (divisor) {
            serial->divisor = (uint16_t)(value << 8 | (serial->divisor & 0xff));
            return;
        }
        if (value & ~serial->ier & UART_IER_THRI) {
            serial->thr_empty = true;
        }
        serial->ier = value & 0xf;
        return;
    case UART_FCR:
        if (value & UART_FCR_CLEAR_RCVR) {
            serial->tail = serial->head;
        }
        return;
    case UART_LCR:
        serial->lcr = value;
        return;
    case UART_MCR:
        serial->mcr = value;
        return;
    case UART_SCR:
        serial->scratch = value;
        return;
    default:
        return;
    }
}

uint8_t serial_read(struct vm *vm, unsigned offset)
{
    pthread_mutex_lock(&vm->serial.lock);
    const uint8_t value = read_register(&vm->serial, offset);
    update_irq(vm);
    pthread_mutex_unlock(&vm->serial.lock);
    return value;
}

void serial_write(struct vm *vm, unsigned offset, uint8_t value)
{
    pthread_mutex_lock(&vm->serial.lock);
    write_register(&vm->serial, offset, value);
    update_irq(vm);
    pthread_mutex_unlock(&vm->serial.lock);
}

unsigned serial_room(struct vm *vm)
{
    pthread_mutex_lock(&vm->serial.lock);
    const unsigned room = sizeof(vm->serial.fifo) - 1 - fill(&vm->serial);
    pthread_mutex_unlock(&vm->serial.lock);
    return room;
}

void serial_input(struct vm *vm, const uint8_t *bytes, unsigned size)
{
    struct serial *serial = &vm->serial;

    pthread_mutex_lock(&serial->lock);
    for (unsigned i = 0; i < size && fill(serial) < sizeof(serial->fifo) - 1;
         i++) {
        serial->fifo[serial->head++ % sizeof(serial->fifo)] = bytes[i];
    }
    update_irq(vm);
    pthread_mutex_unlock(&serial->lock);
}
