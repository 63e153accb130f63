/*
conv2d.c: convolution as networks use it. Included by kernel_f32.c and kernel_f64.c; see there for REAL and NAME.

One path for every stride, padding, dilation and group:

    1. The channels of a group are copied, padded, into an image of their own. Its rows are sorted by phase: with
       stride 2 the even columns first, then the odd ones. Now the taps that one filter element meets along a row of
       outputs are neighbours in memory, whatever the stride and the dilation.
    2. The outputs of a channel, I*J of them in a row, are cut into panels of PIXELS. For a block of taps, the inputs
       that the panel needs are packed: panel (TAPS, PIXELS).
    3. FILTERS filters at a time are multiplied with the panel; the FILTERS * PIXELS sums stay in registers.

It does not use threads, transforms (Winograd, FFT), or intrinsics: step 3 is a plain loop that compilers vectorize.
The sums of a tap block are added to those of the block before, then the bias: the order is not that of the formula.
*/

enum {
    PIXELS = 64 / sizeof(REAL), /* one vector of 512 bits, two of 256, four of 128 */
    FILTERS = 6,                /* 6 sums of two vectors, a weight and an input: the 16 registers of AVX2 */
    TAPS = 256,                 /* a panel of 16 KiB: half of a first-level cache of 32 KiB */
};

/* sums[f][p] = sum over t of weight[f][t] * panel[t][p] */
static void NAME(multiply)(int64_t taps, const REAL *const weight[FILTERS], const REAL *panel,
                           REAL sums[FILTERS][PIXELS])
{
    const REAL *w0 = weight[0], *w1 = weight[1], *w2 = weight[2];
    const REAL *w3 = weight[3], *w4 = weight[4], *w5 = weight[5];
    REAL sum[FILTERS][PIXELS] = {{0}};
    for (int64_t t = 0; t < taps; t++) {
        const REAL a0 = w0[t], a1 = w1[t], a2 = w2[t], a3 = w3[t], a4 = w4[t], a5 = w5[t];
        const REAL *x = panel + t * PIXELS;
        /* written out per filter: compilers keep `sum` in registers only if no loop over filters is left */
        for (int p = 0; p < PIXELS; p++) {
            sum[0][p] += a0 * x[p];
            sum[1][p] += a1 * x[p];
            sum[2][p] += a2 * x[p];
            sum[3][p] += a3 * x[p];
            sum[4][p] += a4 * x[p];
            sum[5][p] += a5 * x[p];
        }
    }
    memcpy(sums, sum, sizeof sum);
}

/* The padded image of one group: C/groups planes of `rows` rows of `phases` phases of `phase` columns. */
struct NAME(image) {
    int64_t channels, rows, columns; /* padded, columns in all phases together */
    int64_t phases, phase;
    int64_t *row, *column; /* which input row and column each shows, or -1 */
    int64_t *place;        /* where in its row each column lies */
    REAL *data;
};

/* Step 1. Positions that show nothing are 0 from the start and are never written. */
static void NAME(copy_padded)(const struct NAME(image) *m, const struct conv2d *p, const REAL *x)
{
    const int64_t width = m->phases * m->phase;
    /* in one phase the input columns lie together, [left, right), and are copied as a whole */
    const int64_t left = m->phases == 1 ? p->padding[1][0] : m->columns;
    const int64_t right = m->phases == 1 ? left + p->w : m->columns;
    for (int64_t c = 0; c < m->channels; c++)
        for (int64_t h = 0; h < m->rows; h++) {
            if (m->row[h] < 0)
                continue;
            const REAL *from = x + (c * p->h + m->row[h]) * p->w;
            REAL *to = m->data + (c * m->rows + h) * width;
            for (int64_t w = 0; w < left; w++)
                if (m->column[w] >= 0)
                    to[m->place[w]] = from[m->column[w]];
            if (left < right)
                memcpy(to + left, from, (size_t)(right - left) * sizeof(REAL));
            for (int64_t w = right; w < m->columns; w++)
                if (m->column[w] >= 0)
                    to[m->place[w]] = from[m->column[w]];
        }
}

/* Step 2. A panel crosses rows of outputs: it consists of runs, each starting at image offset at[m] and panel column
   to[m]. Every run is copied with the full, constant length, which is one vector move; what is too much is overwritten
   by the next run or the next tap, and panel and image have PIXELS elements to spare at their ends. */
static void NAME(pack)(REAL *panel, const REAL *image, const int64_t *tap, int64_t taps, const int64_t *at,
                       const int64_t *to, int64_t runs)
{
    for (int64_t t = 0; t < taps; t++)
        for (int64_t m = 0; m < runs; m++)
            memcpy(panel + t * PIXELS + to[m], image + tap[t] + at[m], PIXELS * sizeof(REAL));
}

/* Steps 2 and 3 for one group of one image: x is in `image`, weight (K, taps), bias (K) or NULL, y (K, I*J). */
static void NAME(multiply_group)(const REAL *image, const int64_t *tap, int64_t taps, REAL *panel, const REAL *weight,
                                 const REAL *bias, int64_t K, int64_t I, int64_t J, int64_t row_step, REAL *y)
{
    /* once at least: without taps the output is the bias */
    for (int64_t t = 0; t == 0 || t < taps; t += TAPS) {
        const int64_t block = taps - t < TAPS ? taps - t : TAPS;
        const int is_first = t == 0, is_last = t + block == taps;
        for (int64_t first = 0; first < I * J; first += PIXELS) {
            const int64_t pixels = I * J - first < PIXELS ? I * J - first : PIXELS;
            int64_t at[PIXELS], to[PIXELS], runs = 0;
            for (int64_t p = 0; p < pixels; runs++) {
                int64_t i = (first + p) / J, j = (first + p) % J;
                at[runs] = i * row_step + j;
                to[runs] = p;
                p += J - j;
            }
            NAME(pack)(panel, image, tap + t, block, at, to, runs);

            for (int64_t k = 0; k < K; k += FILTERS) {
                /* past the last filter, the last one again; those sums are dropped */
                const REAL *filter[FILTERS];
                for (int f = 0; f < FILTERS; f++)
                    filter[f] = weight + (k + f < K ? k + f : K - 1) * taps + t;
                REAL sums[FILTERS][PIXELS];
                NAME(multiply)(block, filter, panel, sums);
                for (int f = 0; f < FILTERS && k + f < K; f++) {
                    REAL *out = y + (k + f) * I * J + first;
                    const REAL add = is_last && bias != NULL ? bias[k + f] : 0;
                    for (int64_t p = 0; p < pixels; p++)
                        out[p] = (is_first ? sums[f][p] : out[p] + sums[f][p]) + add;
                }
            }
        }
    }
}

int NAME(conv2d)(const struct conv2d *p, const REAL *x, const REAL *weight, const REAL *bias, REAL *y)
{
    int64_t shape[4];
    int status = conv2d_shape(p, shape);
    if (status)
        return status;
    if ((bias == NULL) != (p->bias_k == -1))
        return CONVSPEC_INVALID;
    const int64_t I = shape[2], J = shape[3];
    if (p->n == 0 || p->k == 0)
        return CONVSPEC_OK;

    const int64_t C = p->weight_c, K = p->k / p->groups; /* of one group */
    const int64_t taps = C * p->r * p->s;
    struct NAME(image) m = {
        .channels = C,
        .rows = p->h + p->padding[0][0] + p->padding[0][1],
        .columns = p->w + p->padding[1][0] + p->padding[1][1],
        .phases = J > 1 ? p->stride[1] : 1, /* with one column of outputs the stride is never taken */
    };
    m.phase = (m.columns + m.phases - 1) / m.phases;
    const int64_t width = m.phases * m.phase;

    /* (C, rows, width) elements; no product before the ones that are known to fit */
    status = CONVSPEC_NO_MEMORY;
    int64_t *tap = NULL;
    REAL *panel = NULL;
    if (m.rows > INT64_MAX / width || (C > 0 && m.rows * width > (INT64_MAX - PIXELS) / C))
        goto done;
    m.data = NAME(scratch)(C * m.rows * width + PIXELS, sizeof(REAL));
    m.row = NAME(scratch)(m.rows, sizeof(int64_t));
    m.column = NAME(scratch)(m.columns, sizeof(int64_t));
    m.place = NAME(scratch)(m.columns, sizeof(int64_t));
    tap = NAME(scratch)(taps, sizeof(int64_t));
    panel = NAME(scratch)(((taps < TAPS ? taps : TAPS) + 1) * PIXELS, sizeof(REAL));
    if (!m.data || !m.row || !m.column || !m.place || !tap || !panel)
        goto done;

    NAME(sources)(m.row, p->h, p->padding[0], p->padding_mode);
    NAME(sources)(m.column, p->w, p->padding[1], p->padding_mode);
    for (int64_t w = 0; w < m.columns; w++)
        m.place[w] = w % m.phases * m.phase + w / m.phases;

    /* tap[c,r,s]: from the first element of a window to that tap. Column j*stride + s*dilation has the phase of
       s*dilation and lies j further on in it. */
    for (int64_t c = 0; c < C; c++)
        for (int64_t r = 0; r < p->r; r++)
            for (int64_t s = 0; s < p->s; s++)
                tap[(c * p->r + r) * p->s + s] =
                    (c * m.rows + r * p->dilation[0]) * width + m.place[s * p->dilation[1]];

    for (int64_t n = 0; n < p->n; n++)
        for (int64_t g = 0; g < p->groups; g++) {
            NAME(copy_padded)(&m, p, x + (n * p->groups + g) * C * p->h * p->w);
            NAME(multiply_group)(m.data, tap, taps, panel, weight + g * K * taps, bias ? bias + g * K : NULL, K, I, J,
                                 I > 1 ? p->stride[0] * width : 0, y + (n * p->groups + g) * K * I * J);
        }
    status = CONVSPEC_OK;
done:
    free(m.data);
    free(m.row);
    free(m.column);
    free(m.place);
    free(tap);
    free(panel);
    return status;
}
