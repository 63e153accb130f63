/*
kernel_f32.c: every operation in float. kernel_f64.c is the same in double.

The bodies are written once, in the files included below, for a type REAL; NAME puts the suffix on.
*/
#include "convspec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define REAL float
#define NAME(operation) operation##_f32

#include "pad2d.c" /* first: conv2d.c pads too */
#include "conv2d.c"
#include "convolve2d.c"
#include "linear.c"
#include "pool.c"
#include "relu.c"
