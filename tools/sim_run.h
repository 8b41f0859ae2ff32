/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_SIM_RUN_H
#define VMEMCTL_SIM_RUN_H

#include "exit_code.h"
#include "report.h"
#include "sim_options.h"

/* Lets a simulated guest drive a real device on a real backing, in virtual time,
 * and reports what happened. EXIT_CODE_DIFFERS if the guest found fault with the
 * device, did not get to a size that it could have got to, or if the listeners
 * or the memory do not fit what is plugged. */
enum exit_code sim_run(const struct sim_options *options,
                       struct report *report);

#endif /* VMEMCTL_SIM_RUN_H */
