/* SPDX-License-Identifier: BSD-3-Clause */
/* An 8250 with a FIFO, on standard output and input. What the guest sends is
 * out at once, so its transmitter is always empty. */
#include <linux/serial_reg.h>
#include <string.h>
#include <unistd.h>

#include "minivmm.h"

/* Where the divisor is kept, which shares its offsets with other registers. */
#define DIVISOR 8

static unsigned fill(const struct serial *serial)
{
    return (serial->head - serial->tail) % sizeof(serial->fifo);
}

/* The most urgent reason for an interrupt. */
static uint8_t reason(const struct serial *serial)
{
    if ((serial->registers[UART_IER] & UART_IER_RDI) && fill(serial) > 0) {
        return UART_IIR_RDI;
    }
    if ((serial->registers[UART_IER] & UART_IER_THRI) && serial->thr_empty) {
        return UART_IIR_THRI;
    }
    return UART_IIR_NO_INT;
}

void serial_reset(struct vm *vm)
{
    vm->serial = (struct serial){ .lock = PTHREAD_MUTEX_INITIALIZER,
                                  .registers = { [DIVISOR] = 12 } };
}

static uint8_t read_register(struct serial *serial, unsigned number)
{
    uint8_t why;

    switch (number) {
    case UART_RX:
        return fill(serial) > 0
                   ? serial->fifo[serial->tail++ % sizeof(serial->fifo)]
                   : 0;
    case UART_IIR:
        why = reason(serial);
        if (why == UART_IIR_THRI) {
            serial->thr_empty = false;
        }
        return why | 0xc0; /* a 16550A */
    case UART_LSR:
        return UART_LSR_TEMT | UART_LSR_THRE |
               (fill(serial) > 0 ? UART_LSR_DR : 0);
    case UART_MSR:
        return UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD;
    default:
        return serial->registers[number];
    }
}

static void write_register(struct serial *serial, unsigned number,
                           uint8_t value)
{
    if (number == UART_TX) {
        if (write(STDOUT_FILENO, &value, 1) < 0) {
            /* Nobody listens, for which the guest need not care. */
        }
        serial->thr_empty = true;
    } else if (number == UART_FCR && (value & UART_FCR_CLEAR_RCVR)) {
        serial->tail = serial->head;
    } else if (number == UART_IER) {
        if (value & ~serial->registers[UART_IER] & UART_IER_THRI) {
            serial->thr_empty = true;
        }
        value &= 0xf;
    }
    serial->registers[number] = value;
}

void serial_access(struct vm *vm, unsigned offset, uint8_t *value, bool write)
{
    struct serial *serial = &vm->serial;

    pthread_mutex_lock(&serial->lock);
    if (offset <= UART_DLM && (serial->registers[UART_LCR] & UART_LCR_DLAB)) {
        offset += DIVISOR;
    }
    if (write) {
        write_register(serial, offset, *value);
    } else {
        *value = read_register(serial, offset);
    }
    kvm_irq(vm, GSI_SERIAL, reason(serial) != UART_IIR_NO_INT);
    pthread_mutex_unlock(&serial->lock);
}

unsigned serial_room(struct vm *vm)
{
    pthread_mutex_lock(&vm->serial.lock);
    const unsigned room = sizeof(vm->serial.fifo) - 1 - fill(&vm->serial);
    pthread_mutex_unlock(&vm->serial.lock);
    return room;
}

bool serial_input(struct vm *vm)
{
    struct serial *serial = &vm->serial;
    uint8_t bytes[sizeof(serial->fifo)];
    const ssize_t got = read(STDIN_FILENO, bytes, serial_room(vm));

    pthread_mutex_lock(&serial->lock);
    for (ssize_t i = 0; i < got; i++) {
        serial->fifo[serial->head++ % sizeof(serial->fifo)] = bytes[i];
    }
    kvm_irq(vm, GSI_SERIAL, reason(serial) != UART_IIR_NO_INT);
    pthread_mutex_unlock(&serial->lock);
    return got > 0;
}
