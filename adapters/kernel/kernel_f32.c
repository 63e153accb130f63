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

#include "dot.c"       /* first: linear.c and locally_connected2d.c use it, */
#include "normalize.c" /* batch_norm.c this, */
#include "pad2d.c"     /* and conv2d.c and locally_connected2d.c this */

#include "batch_norm.c"
#include "conv2d.c"
#include "convolve2d.c"
#include "dropout.c"
#include "linear.c"
#include "local_response_norm.c"
#include "locally_connected2d.c"
#include "pool.c"
#include "relu.c"

#include "backward.c" /* what several of these have */
#include "backward_norm.c"
