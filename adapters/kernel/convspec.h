/*
convspec.h: the C interface of convspec, and of the C99 kernel bundled with it.

For every operation there is a struct of sizes and parameters, a function that gives the shape of the output, and
the operation itself in float (suffix _f32) and in double (suffix _f64). A library of your own may offer any of
the operations, in either type or in both; the suite calls what it finds.

    int conv2d_shape(const struct conv2d *p, int64_t shape[4]);
    int conv2d_f32(const struct conv2d *p, const float *x, const float *weight, const float *bias, float *y);

Every function checks the problem by itself and returns a status. On any status but CONVSPEC_OK nothing that it wrote
is looked at. The caller owns all memory: y holds exactly the elements of the shape, and a function may write nothing
else. Arrays are dense and row by row, images are NCHW, the last letter changes fastest. Sizes may be 0.

The axis letters: n image, c channel, k filter, h w input rows and columns, i j output rows and columns, r s taps of a
window. Pairs are {rows, columns}; padding is {{top, bottom}, {left, right}}, four independent sides.

What this file does not do: threads, other layouts, other types, gradients, strides between elements, or promise that
two libraries round alike.
*/
#ifndef CONVSPEC_H
#define CONVSPEC_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum convspec_status {
    CONVSPEC_OK = 0,
    CONVSPEC_INVALID = 1,     /* the problem breaks a rule of the operation: nobody can compute it */
    CONVSPEC_UNSUPPORTED = 2, /* the problem is valid, but this library was not built for it */
    CONVSPEC_NO_MEMORY = 3    /* scratch memory could not be had */
};

/* What lies outside the image. Any other number, such as the -1 that stands for an unknown word, is invalid. */
enum convspec_mode {
    CONVSPEC_ZEROS = 0,
    CONVSPEC_REPLICATE = 1, /* the nearest edge element */
    CONVSPEC_REFLECT = 2,   /* the mirror image about the edge element, which is not repeated */
    CONVSPEC_CIRCULAR = 3   /* the image again, from its other side */
};

/* y[n,k,i,j] = bias[k] + sum over c, r, s of xp[n, group(k)*C/groups + c, i*stride + r*dilation, j*stride + s*dilation]
                * weight[k,c,r,s], where xp is x with its padding. The filter is not flipped. */
struct conv2d {
    int64_t n, c, h, w;          /* x (N,C,H,W) */
    int64_t k, weight_c, r, s;   /* weight (K, C/groups, R, S); weight_c as the caller has it, to be checked */
    int64_t bias_k;              /* the length of bias, or -1 where bias is NULL */
    int64_t stride[2];
    int64_t padding[2][2];
    int64_t padding_mode;        /* enum convspec_mode */
    int64_t dilation[2];         /* 1 is a dense filter */
    int64_t groups;
};

/* y[i,j] = sum over u in [-a,a], v in [-b,b] of kernel[a+u, b+v] * x[i-u, j-v], where x is 0 outside. It is flipped. */
struct convolve2d {
    int64_t h, w; /* x (H,W), and y too */
    int64_t r, s; /* kernel (2a+1, 2b+1) */
};

/* y[n,c,i,j] = x[n, c, source(i - top), source(j - left)], or 0 */
struct pad2d {
    int64_t n, c, h, w;
    int64_t padding[2][2];
    int64_t mode; /* enum convspec_mode */
};

/* y[n,c,i,j] = the largest tap of the window that lies on the input; NaN if one of them is NaN. Padding never wins. */
struct max_pool2d {
    int64_t n, c, h, w;
    int64_t kernel_size[2];
    int64_t stride[2];
    int64_t padding[2][2];
    int64_t dilation[2];
    int64_t ceil_mode; /* 0 or 1 */
};

/* y[n,c,i,j] = the sum of the taps on the input, divided by their number, or with count_include_pad by the number of
   taps on the input and its padding; what ceil_mode adds behind the padding never counts. */
struct avg_pool2d {
    int64_t n, c, h, w;
    int64_t kernel_size[2];
    int64_t stride[2];
    int64_t padding[2][2];
    int64_t ceil_mode;         /* 0 or 1 */
    int64_t count_include_pad; /* 0 or 1 */
};

/* y = x where x > 0, else 0; NaN stays NaN */
struct relu {
    int64_t elements; /* of x, whatever its shape */
};

/* y[n,o] = bias[o] + sum over f of x[n,f] * weight[o,f] */
struct linear {
    int64_t n, f;        /* x (N,F) */
    int64_t o, weight_f; /* weight (O,F); weight_f as the caller has it, to be checked */
    int64_t bias_o;      /* the length of bias, or -1 where bias is NULL */
};

int conv2d_shape(const struct conv2d *p, int64_t shape[4]);         /* N, K, I, J */
int convolve2d_shape(const struct convolve2d *p, int64_t shape[2]); /* H, W */
int pad2d_shape(const struct pad2d *p, int64_t shape[4]);           /* N, C, I, J */
int max_pool2d_shape(const struct max_pool2d *p, int64_t shape[4]); /* N, C, I, J */
int avg_pool2d_shape(const struct avg_pool2d *p, int64_t shape[4]); /* N, C, I, J */
int relu_shape(const struct relu *p, int64_t shape[1]);             /* elements */
int linear_shape(const struct linear *p, int64_t shape[2]);         /* N, O */

int conv2d_f32(const struct conv2d *p, const float *x, const float *weight, const float *bias, float *y);
int convolve2d_f32(const struct convolve2d *p, const float *x, const float *kernel, float *y);
int pad2d_f32(const struct pad2d *p, const float *x, float *y);
int max_pool2d_f32(const struct max_pool2d *p, const float *x, float *y);
int avg_pool2d_f32(const struct avg_pool2d *p, const float *x, float *y);
int relu_f32(const struct relu *p, const float *x, float *y);
int linear_f32(const struct linear *p, const float *x, const float *weight, const float *bias, float *y);

int conv2d_f64(const struct conv2d *p, const double *x, const double *weight, const double *bias, double *y);
int convolve2d_f64(const struct convolve2d *p, const double *x, const double *kernel, double *y);
int pad2d_f64(const struct pad2d *p, const double *x, double *y);
int max_pool2d_f64(const struct max_pool2d *p, const double *x, double *y);
int avg_pool2d_f64(const struct avg_pool2d *p, const double *x, double *y);
int relu_f64(const struct relu *p, const double *x, double *y);
int linear_f64(const struct linear *p, const double *x, const double *weight, const double *bias, double *y);

#ifdef __cplusplus
}
#endif

#endif
