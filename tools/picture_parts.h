/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_PICTURE_PARTS_H
#define VMEMCTL_PICTURE_PARTS_H

#include "axis.h"
#include "picture.h"
#include "svg.h"

/* What the files that draw a picture share. */

#define PICTURE_WIDTH 960.0
#define PICTURE_LEFT 96.0 /* of the plots; labels are left of it */
#define PICTURE_RIGHT 936.0

#define PICTURE_SMALL "font-size=\"12\" fill=\"#444444\""
#define PICTURE_HATCH "fill=\"url(#busy)\""

/* Where a moment is; the same in all plots. */
double picture_x(const struct history *history, double seconds);

/* Grid lines and frame of a plot that reaches from top to bottom. */
void picture_grid(struct svg *svg, const struct history *history, double top,
                  double bottom);

/* Marks of times at which the device, or all, were busy or reset; with -1 those
 * of any device. */
void picture_marks(struct svg *svg, const struct history *history, int device,
                   double top, double bottom);

/* picture_curves.c: the plot of sizes, and its legend above it. */
void picture_curves(struct svg *svg, const struct history *history, double top,
                    double bottom);

/* picture_map.c: the blocks of one device, and what the shades mean. */
void picture_map(struct svg *svg, const struct history *history,
                 unsigned device, double top, double bottom);
void picture_map_legend(struct svg *svg, const struct history *history,
                        double y);

#endif /* VMEMCTL_PICTURE_PARTS_H */
