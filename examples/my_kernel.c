/*
A direct convolution in C, zero padding and one group, to copy from.

    cc -O2 -fPIC -shared -I adapters/kernel examples/my_kernel.c -o my_kernel.so
    pytest conformance/ --backend=./my_kernel.so --op conv2d
*/
#include "convspec.h"

/* Is called first, with invalid problems too: what is divided by, or read, is checked before. */
int conv2d_shape(const struct conv2d *p, int64_t shape[4])
{
    if (p->groups < 1 || p->weight_c * p->groups != p->c || p->k % p->groups)
        return CONVSPEC_INVALID;
    if (p->bias_k != -1 && p->bias_k != p->k)
        return CONVSPEC_INVALID;
    if (p->padding_mode < CONVSPEC_ZEROS || p->padding_mode > CONVSPEC_CIRCULAR)
        return CONVSPEC_INVALID;
    const int64_t length[2] = {p->h, p->w}, taps[2] = {p->r, p->s};
    shape[0] = p->n;
    shape[1] = p->k;
    for (int a = 0; a < 2; a++) {
        if (p->stride[a] < 1 || p->dilation[a] < 1 || taps[a] < 1 || p->padding[a][0] < 0 || p->padding[a][1] < 0)
            return CONVSPEC_INVALID;
        const int64_t padded = length[a] + p->padding[a][0] + p->padding[a][1];
        const int64_t span = p->dilation[a] * (taps[a] - 1) + 1;
        if (span > padded)
            return CONVSPEC_INVALID;
        shape[2 + a] = (padded - span) / p->stride[a] + 1;
    }
    if (p->groups > 1 || p->padding_mode != CONVSPEC_ZEROS)
        return CONVSPEC_UNSUPPORTED; /* valid, but not what this kernel was built for */
    return CONVSPEC_OK;
}

/* May be called from several threads at once: nothing is static. */
int conv2d_f32(const struct conv2d *p, const float *x, const float *weight, const float *bias, float *y)
{
    int64_t shape[4];
    const int status = conv2d_shape(p, shape);
    if (status != CONVSPEC_OK)
        return status;
    for (int64_t n = 0; n < p->n; n++)
        for (int64_t k = 0; k < p->k; k++)
            for (int64_t i = 0; i < shape[2]; i++)
                for (int64_t j = 0; j < shape[3]; j++) {
                    float sum = 0;
                    for (int64_t c = 0; c < p->c; c++)
                        for (int64_t r = 0; r < p->r; r++)
                            for (int64_t s = 0; s < p->s; s++) {
                                const int64_t h = i * p->stride[0] + r * p->dilation[0] - p->padding[0][0];
                                const int64_t w = j * p->stride[1] + s * p->dilation[1] - p->padding[1][0];
                                if (h >= 0 && h < p->h && w >= 0 && w < p->w)
                                    sum += x[((n * p->c + c) * p->h + h) * p->w + w] *
                                           weight[((k * p->c + c) * p->r + r) * p->s + s];
                            }
                    *y++ = bias ? sum + bias[k] : sum;
                }
    return CONVSPEC_OK;
}
