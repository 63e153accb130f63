/*
shape.c: which problems are valid, and the shape of their outputs. No arithmetic on data happens here.

A status of 0 means that the other files may index without looking again. All limits are checked without overflow:
a number of a parameter may be anything that fits 64 bits. What windows share is in shape_window.c, what normalizations
share in shape_normalize.c; the rest follows here.
*/
#include "convspec.h"

/* Three numbers up to here can be added, and anything larger fits no memory. */
static const int64_t LIMIT = INT64_C(1) << 60;

static int sizes_are_valid(const int64_t *sizes, int count)
{
    for (int a = 0; a < count; a++)
        if (sizes[a] < 0)
            return CONVSPEC_INVALID;
    for (int a = 0; a < count; a++)
        if (sizes[a] > LIMIT)
            return CONVSPEC_UNSUPPORTED;
    return CONVSPEC_OK;
}

/* Optional arrays have the length -1 where they are absent. */
static int absent_or(int64_t length, int64_t wanted)
{
    return length == -1 || length == wanted;
}

static int is_flag(int64_t flag)
{
    return flag == 0 || flag == 1;
}

static int mode_is_valid(int64_t mode, int64_t length, const int64_t sides[2])
{
    int64_t most = sides[0] > sides[1] ? sides[0] : sides[1];
    switch (mode) {
    case CONVSPEC_ZEROS:
        return 1;
    case CONVSPEC_REPLICATE: /* there must be an edge to repeat */
        return most == 0 || length >= 1;
    case CONVSPEC_REFLECT: /* the edge element is not repeated, so one less than there are */
        return most == 0 || most <= length - 1;
    case CONVSPEC_CIRCULAR: /* once round */
        return most == 0 || most <= length;
    default:
        return 0;
    }
}

#include "shape_window.c"
#include "shape_normalize.c"

int convolve2d_shape(const struct convolve2d *p, int64_t shape[2])
{
    const int64_t sizes[4] = {p->h, p->w, p->r, p->s};
    int status = sizes_are_valid(sizes, 4);
    if (status)
        return status;
    if (p->r % 2 == 0 || p->s % 2 == 0) /* no centre */
        return CONVSPEC_INVALID;
    shape[0] = p->h;
    shape[1] = p->w;
    return CONVSPEC_OK;
}

int pad2d_shape(const struct pad2d *p, int64_t shape[4])
{
    const int64_t (*sides)[2] = p->padding;
    const int64_t sizes[8] = {p->n, p->c, p->h, p->w, sides[0][0], sides[0][1], sides[1][0], sides[1][1]};
    int status = sizes_are_valid(sizes, 8);
    if (status)
        return status;
    if (!mode_is_valid(p->mode, p->h, p->padding[0]) || !mode_is_valid(p->mode, p->w, p->padding[1]))
        return CONVSPEC_INVALID;
    shape[0] = p->n;
    shape[1] = p->c;
    shape[2] = p->h + p->padding[0][0] + p->padding[0][1];
    shape[3] = p->w + p->padding[1][0] + p->padding[1][1];
    return CONVSPEC_OK;
}

int relu_shape(const struct relu *p, int64_t shape[1])
{
    int status = sizes_are_valid(&p->elements, 1);
    if (status)
        return status;
    shape[0] = p->elements;
    return CONVSPEC_OK;
}

int linear_shape(const struct linear *p, int64_t shape[2])
{
    const int64_t sizes[4] = {p->n, p->f, p->o, p->weight_f};
    int status = sizes_are_valid(sizes, 4);
    if (status)
        return status;
    if (p->weight_f != p->f || !absent_or(p->bias_o, p->o))
        return CONVSPEC_INVALID;
    shape[0] = p->n;
    shape[1] = p->o;
    return CONVSPEC_OK;
}

int local_response_norm_shape(const struct local_response_norm *p, int64_t shape[4])
{
    const int64_t sizes[4] = {p->n, p->c, p->h, p->w};
    int status = sizes_are_valid(sizes, 4);
    if (status)
        return status;
    if (p->size < 1)
        return CONVSPEC_INVALID;
    for (int a = 0; a < 4; a++)
        shape[a] = sizes[a];
    return CONVSPEC_OK;
}

static int dropping_is_valid(double p, int64_t training, int64_t seed)
{
    return p >= 0 && p <= 1 && is_flag(training) && seed >= 0; /* NaN fails both comparisons */
}

int dropout_shape(const struct dropout *p, int64_t shape[1])
{
    int status = sizes_are_valid(&p->elements, 1);
    if (status)
        return status;
    if (!dropping_is_valid(p->p, p->training, p->seed))
        return CONVSPEC_INVALID;
    shape[0] = p->elements;
    return CONVSPEC_OK;
}

int dropout2d_shape(const struct dropout2d *p, int64_t shape[4])
{
    const int64_t sizes[4] = {p->n, p->c, p->h, p->w};
    int status = sizes_are_valid(sizes, 4);
    if (status)
        return status;
    if (!dropping_is_valid(p->p, p->training, p->seed))
        return CONVSPEC_INVALID;
    for (int a = 0; a < 4; a++)
        shape[a] = sizes[a];
    return CONVSPEC_OK;
}

#include "shape_backward.c"
