/*
convolve2d.c: the convolution of a lecture on image filters: flipped, centred, zero outside, as large as the image.
Included by kernel_f32.c and kernel_f64.c; see there for REAL and NAME.

It is written for reading, not for speed: networks use conv2d.
*/

int NAME(convolve2d)(const struct convolve2d *p, const REAL *x, const REAL *kernel, REAL *y)
{
    int64_t shape[2];
    int status = convolve2d_shape(p, shape);
    if (status)
        return status;
    const int64_t H = p->h, W = p->w, a = p->r / 2, b = p->s / 2;
    for (int64_t i = 0; i < H; i++) {
        for (int64_t j = 0; j < W; j++) {
            REAL sum = 0;
            for (int64_t u = -a; u <= a; u++)
                for (int64_t v = -b; v <= b; v++) {
                    int64_t h = i - u, w = j - v;
                    int outside = h < 0 || h >= H || w < 0 || w >= W;
                    /* outside is the number 0, not nothing: infinity times it is NaN */
                    sum += kernel[(a + u) * p->s + b + v] * (outside ? 0 : x[h * W + w]);
                }
            y[i * W + j] = sum;
        }
    }
    return CONVSPEC_OK;
}
