/*
convspec.h: the C interface of convspec, and of the C99 kernel bundled with it.

For every operation there is a struct of sizes and parameters, a function that gives the shape of y, and the
operation itself in float (suffix _f32) and in double (suffix _f64). A library of your own may offer any of
the operations, in either type or in both; the suite calls what it finds.

    int conv2d_shape(const struct conv2d *p, int64_t shape[4]);
    int conv2d_f32(const struct conv2d *p, const float *x, const float *weight, const float *bias, float *y);

First come the arrays that are read, then those that are written: y, and for batch normalization two more; or the
gradients, and then the shape is that of grad_x. An array that is absent is NULL, and the members with its lengths are
-1. Parameters that are no whole numbers are double for both types.

Every function checks the problem by itself and returns a status. On any status but CONVSPEC_OK nothing that it wrote is
looked at. The caller owns all memory: outputs hold exactly the elements of their shapes, and a function may write
nothing but its outputs, nor read beside its inputs: they lie between pages that may not be touched, and are aligned to
their elements, as a slice of a larger array is, and to no more. Arrays are dense and row by row, images are NCHW, the
last letter changes fastest. Sizes may be 0.

The axis letters: n image, c channel, k filter, h w input rows and columns, i j output rows and columns, r s taps of a
window. Pairs are {rows, columns}; padding is {{top, bottom}, {left, right}}, four independent sides.

Functions are called from several threads at once, and share no state.

What this file does not do: other layouts, other types, strides between elements, or promise that two libraries
round alike.
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

/* y[n,k,i,j] = bias[k,i,j] + sum over c, r, s of xp[n, c, i*stride + r, j*stride + s] * weight[i,j,k,c,r,s], where xp
   is x with its padding of zeros: a convolution whose filters and biases are others for each output position. */
struct locally_connected2d {
    int64_t n, c, h, w;                            /* x (N,C,H,W) */
    int64_t weight_i, weight_j, k, weight_c, r, s; /* weight (I,J,K,C,R,S); i, j and c as the caller has them */
    int64_t bias_k, bias_i, bias_j;                /* bias (K,I,J), or -1 where it is NULL */
    int64_t stride[2];
    int64_t padding[2][2];
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

/* y[n,c,h,w] = (x[n,c,h,w] - mean[c]) / sqrt(var[c] + eps) * weight[c] + bias[c]. In training, mean and var are those
   of channel c over all images and pixels, var divided by their number; and the running statistics are renewed:
       new_running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean[c]
   and the variance likewise, with var divided by one less than their number. With no images the old ones are given
   back, and so in evaluation, where mean and var are the running ones. In training there may be no running statistics:
   then all four pointers are NULL. Invalid: one value for each channel in training; a running variance below 0 in
   evaluation; no variance at all where eps is 0. */
struct batch_norm2d {
    int64_t n, c, h, w;                    /* x (N,C,H,W) */
    int64_t weight_c, bias_c;              /* the lengths of weight and bias, or -1 */
    int64_t running_mean_c, running_var_c; /* of running_mean and running_var, and of the new ones, or -1 */
    int64_t training;                      /* 0 or 1 */
    double momentum;                       /* how much of the new value, 0 to 1 */
    double eps;
};

/* Batch normalization in training, the images spread over devices: device d holds the next shards[d] of them, perhaps
   none, and the shards add up to n. The statistics are those of all images. */
struct sync_batch_norm2d {
    int64_t n, c, h, w;    /* as for batch_norm2d, and so on */
    int64_t devices;       /* at least 1 */
    const int64_t *shards; /* (devices) */
    int64_t weight_c, bias_c;
    int64_t running_mean_c, running_var_c;
    double momentum;
    double eps;
};

/* y = (x - mean) / sqrt(var + eps) * weight + bias, with the mean and the variance (divided by the number of elements)
   of each set. Here x is a row of elements for each set, whatever its shape was. Invalid, here and in the three that
   follow: a set whose elements are all equal where eps is 0. */
struct layer_norm {
    int64_t sets, elements;                 /* x (sets, elements) */
    int64_t weight_elements, bias_elements; /* the lengths of weight and bias, or -1 */
    double eps;
};

/* The same, a set being the pixels of C/groups consecutive channels of an image; weight[c] and bias[c]. */
struct group_norm {
    int64_t n, c, h, w;       /* x (N,C,H,W) */
    int64_t groups;
    int64_t weight_c, bias_c; /* the lengths of weight and bias, or -1 */
    double eps;
};

/* The same, a set being the pixels of one channel of an image. */
struct instance_norm2d {
    int64_t n, c, h, w;
    int64_t weight_c, bias_c;
    double eps;
};

/* The same, a set being C/groups consecutive channels at one pixel of an image. */
struct pixel_group_norm {
    int64_t n, c, h, w;
    int64_t groups;
    int64_t weight_c, bias_c;
    double eps;
};

/* y[n,c,h,w] = x[n,c,h,w] * (k + alpha/size * sum over j of x[n,j,h,w]^2) ^ -beta, j from c - (size-1)/2 to c + size/2,
   both divisions rounded down, as far as there are such channels. */
struct local_response_norm {
    int64_t n, c, h, w;
    int64_t size; /* at least 1 */
    double alpha;
    double beta;
    double k;
};

/* In training y[e] = 0 with the probability p, else x[e] / (1 - p); in evaluation y = x. Equal seeds drop the same
   elements, whatever x holds; the draws of one seed and those of different seeds are independent. The generator is the
   library's own choice. */
struct dropout {
    int64_t elements; /* of x, whatever its shape */
    double p;         /* 0 to 1 */
    int64_t training; /* 0 or 1 */
    int64_t seed;     /* 0 or more */
};

/* The same, with one draw for all pixels of a channel of an image. */
struct dropout2d {
    int64_t n, c, h, w;
    double p;
    int64_t training;
    int64_t seed;
};

/* Gradients of the sum of grad_output * y with respect to x, weight and bias, y being the output of the forward problem.
   Each function is given the arrays of the forward operation, and grad_output, as large as y. It writes grad_x,
   grad_weight and grad_bias, as large as x, weight and bias; the last two are NULL where weight and bias are, and absent
   where the operation has none. The shape function gives the shape of grad_x. Values of the bias do not matter; the
   gradients of weight and bias are sums over the images. */
struct conv2d_backward {
    struct conv2d forward;
    int64_t grad_n, grad_c, grad_i, grad_j; /* grad_output (N,K,I,J) */
};

struct linear_backward {
    struct linear forward;
    int64_t grad_n, grad_o; /* grad_output (N,O) */
};

/* grad_x = grad_output where x > 0, else 0 */
struct relu_backward {
    struct relu forward;
    int64_t grad_elements; /* of grad_output */
};

/* A window's gradient goes to its largest tap; to one of equal ones, or in parts to several. */
struct max_pool2d_backward {
    struct max_pool2d forward;
    int64_t grad_n, grad_c, grad_i, grad_j; /* grad_output (N,C,I,J) */
};

/* A window's gradient goes in equal parts to its taps on the input, divided as the sum was. */
struct avg_pool2d_backward {
    struct avg_pool2d forward;
    int64_t grad_n, grad_c, grad_i, grad_j; /* grad_output (N,C,I,J) */
};

/* In training mean and variance pass on what they depend on; in evaluation they are given. */
struct batch_norm2d_backward {
    struct batch_norm2d forward;
    int64_t grad_n, grad_c, grad_i, grad_j; /* grad_output (N,C,H,W) */
};

struct layer_norm_backward {
    struct layer_norm forward;
    int64_t grad_sets, grad_elements; /* grad_output (sets, elements) */
};

struct group_norm_backward {
    struct group_norm forward;
    int64_t grad_n, grad_c, grad_i, grad_j; /* grad_output (N,C,H,W) */
};

int conv2d_shape(const struct conv2d *p, int64_t shape[4]); /* N, K, I, J */
int locally_connected2d_shape(const struct locally_connected2d *p, int64_t shape[4]); /* N, K, I, J */
int convolve2d_shape(const struct convolve2d *p, int64_t shape[2]); /* H, W */
int pad2d_shape(const struct pad2d *p, int64_t shape[4]); /* N, C, I, J */
int max_pool2d_shape(const struct max_pool2d *p, int64_t shape[4]); /* N, C, I, J */
int avg_pool2d_shape(const struct avg_pool2d *p, int64_t shape[4]); /* N, C, I, J */
int relu_shape(const struct relu *p, int64_t shape[1]); /* elements */
int linear_shape(const struct linear *p, int64_t shape[2]); /* N, O */
int batch_norm2d_shape(const struct batch_norm2d *p, int64_t shape[4]); /* N, C, H, W */
int sync_batch_norm2d_shape(const struct sync_batch_norm2d *p, int64_t shape[4]); /* N, C, H, W */
int layer_norm_shape(const struct layer_norm *p, int64_t shape[2]); /* sets, elements */
int group_norm_shape(const struct group_norm *p, int64_t shape[4]); /* N, C, H, W */
int instance_norm2d_shape(const struct instance_norm2d *p, int64_t shape[4]); /* N, C, H, W */
int pixel_group_norm_shape(const struct pixel_group_norm *p, int64_t shape[4]); /* N, C, H, W */
int local_response_norm_shape(const struct local_response_norm *p, int64_t shape[4]); /* N, C, H, W */
int dropout_shape(const struct dropout *p, int64_t shape[1]); /* elements */
int dropout2d_shape(const struct dropout2d *p, int64_t shape[4]); /* N, C, H, W */
int conv2d_backward_shape(const struct conv2d_backward *p, int64_t shape[4]); /* N, C, H, W */
int linear_backward_shape(const struct linear_backward *p, int64_t shape[2]); /* N, F */
int relu_backward_shape(const struct relu_backward *p, int64_t shape[1]); /* elements */
int max_pool2d_backward_shape(const struct max_pool2d_backward *p, int64_t shape[4]); /* N, C, H, W */
int avg_pool2d_backward_shape(const struct avg_pool2d_backward *p, int64_t shape[4]); /* N, C, H, W */
int batch_norm2d_backward_shape(const struct batch_norm2d_backward *p, int64_t shape[4]); /* N, C, H, W */
int layer_norm_backward_shape(const struct layer_norm_backward *p, int64_t shape[2]); /* sets, elements */
int group_norm_backward_shape(const struct group_norm_backward *p, int64_t shape[4]); /* N, C, H, W */

int conv2d_f32(const struct conv2d *p, const float *x, const float *weight, const float *bias, float *y);
int locally_connected2d_f32(const struct locally_connected2d *p, const float *x, const float *weight, const float *bias,
                            float *y);
int convolve2d_f32(const struct convolve2d *p, const float *x, const float *kernel, float *y);
int pad2d_f32(const struct pad2d *p, const float *x, float *y);
int max_pool2d_f32(const struct max_pool2d *p, const float *x, float *y);
int avg_pool2d_f32(const struct avg_pool2d *p, const float *x, float *y);
int relu_f32(const struct relu *p, const float *x, float *y);
int linear_f32(const struct linear *p, const float *x, const float *weight, const float *bias, float *y);
int batch_norm2d_f32(const struct batch_norm2d *p, const float *x, const float *weight, const float *bias,
                     const float *running_mean, const float *running_var, float *y, float *new_running_mean,
                     float *new_running_var);
int sync_batch_norm2d_f32(const struct sync_batch_norm2d *p, const float *x, const float *weight, const float *bias,
                          const float *running_mean, const float *running_var, float *y, float *new_running_mean,
                          float *new_running_var);
int layer_norm_f32(const struct layer_norm *p, const float *x, const float *weight, const float *bias, float *y);
int group_norm_f32(const struct group_norm *p, const float *x, const float *weight, const float *bias, float *y);
int instance_norm2d_f32(const struct instance_norm2d *p, const float *x, const float *weight, const float *bias,
                        float *y);
int pixel_group_norm_f32(const struct pixel_group_norm *p, const float *x, const float *weight, const float *bias,
                         float *y);
int local_response_norm_f32(const struct local_response_norm *p, const float *x, float *y);
int dropout_f32(const struct dropout *p, const float *x, float *y);
int dropout2d_f32(const struct dropout2d *p, const float *x, float *y);
int conv2d_backward_f32(const struct conv2d_backward *p, const float *x, const float *weight, const float *bias,
                        const float *grad_output, float *grad_x, float *grad_weight, float *grad_bias);
int linear_backward_f32(const struct linear_backward *p, const float *x, const float *weight, const float *bias,
                        const float *grad_output, float *grad_x, float *grad_weight, float *grad_bias);
int relu_backward_f32(const struct relu_backward *p, const float *x, const float *grad_output, float *grad_x);
int max_pool2d_backward_f32(const struct max_pool2d_backward *p, const float *x, const float *grad_output,
                            float *grad_x);
int avg_pool2d_backward_f32(const struct avg_pool2d_backward *p, const float *x, const float *grad_output,
                            float *grad_x);
int batch_norm2d_backward_f32(const struct batch_norm2d_backward *p, const float *x, const float *weight,
                              const float *bias, const float *running_mean, const float *running_var,
                              const float *grad_output, float *grad_x, float *grad_weight, float *grad_bias);
int layer_norm_backward_f32(const struct layer_norm_backward *p, const float *x, const float *weight, const float *bias,
                            const float *grad_output, float *grad_x, float *grad_weight, float *grad_bias);
int group_norm_backward_f32(const struct group_norm_backward *p, const float *x, const float *weight, const float *bias,
                            const float *grad_output, float *grad_x, float *grad_weight, float *grad_bias);

int conv2d_f64(const struct conv2d *p, const double *x, const double *weight, const double *bias, double *y);
int locally_connected2d_f64(const struct locally_connected2d *p, const double *x, const double *weight,
                            const double *bias, double *y);
int convolve2d_f64(const struct convolve2d *p, const double *x, const double *kernel, double *y);
int pad2d_f64(const struct pad2d *p, const double *x, double *y);
int max_pool2d_f64(const struct max_pool2d *p, const double *x, double *y);
int avg_pool2d_f64(const struct avg_pool2d *p, const double *x, double *y);
int relu_f64(const struct relu *p, const double *x, double *y);
int linear_f64(const struct linear *p, const double *x, const double *weight, const double *bias, double *y);
int batch_norm2d_f64(const struct batch_norm2d *p, const double *x, const double *weight, const double *bias,
                     const double *running_mean, const double *running_var, double *y, double *new_running_mean,
                     double *new_running_var);
int sync_batch_norm2d_f64(const struct sync_batch_norm2d *p, const double *x, const double *weight, const double *bias,
                          const double *running_mean, const double *running_var, double *y, double *new_running_mean,
                          double *new_running_var);
int layer_norm_f64(const struct layer_norm *p, const double *x, const double *weight, const double *bias, double *y);
int group_norm_f64(const struct group_norm *p, const double *x, const double *weight, const double *bias, double *y);
int instance_norm2d_f64(const struct instance_norm2d *p, const double *x, const double *weight, const double *bias,
                        double *y);
int pixel_group_norm_f64(const struct pixel_group_norm *p, const double *x, const double *weight, const double *bias,
                         double *y);
int local_response_norm_f64(const struct local_response_norm *p, const double *x, double *y);
int dropout_f64(const struct dropout *p, const double *x, double *y);
int dropout2d_f64(const struct dropout2d *p, const double *x, double *y);
int conv2d_backward_f64(const struct conv2d_backward *p, const double *x, const double *weight, const double *bias,
                        const double *grad_output, double *grad_x, double *grad_weight, double *grad_bias);
int linear_backward_f64(const struct linear_backward *p, const double *x, const double *weight, const double *bias,
                        const double *grad_output, double *grad_x, double *grad_weight, double *grad_bias);
int relu_backward_f64(const struct relu_backward *p, const double *x, const double *grad_output, double *grad_x);
int max_pool2d_backward_f64(const struct max_pool2d_backward *p, const double *x, const double *grad_output,
                            double *grad_x);
int avg_pool2d_backward_f64(const struct avg_pool2d_backward *p, const double *x, const double *grad_output,
                            double *grad_x);
int batch_norm2d_backward_f64(const struct batch_norm2d_backward *p, const double *x, const double *weight,
                              const double *bias, const double *running_mean, const double *running_var,
                              const double *grad_output, double *grad_x, double *grad_weight, double *grad_bias);
int layer_norm_backward_f64(const struct layer_norm_backward *p, const double *x, const double *weight,
                            const double *bias, const double *grad_output, double *grad_x, double *grad_weight,
                            double *grad_bias);
int group_norm_backward_f64(const struct group_norm_backward *p, const double *x, const double *weight,
                            const double *bias, const double *grad_output, double *grad_x, double *grad_weight,
                            double *grad_bias);

#ifdef __cplusplus
}
#endif

#endif
