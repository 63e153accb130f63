/*
dropout.c: zeroing at random, elements or whole channels. Included by kernel_f32.c and kernel_f64.c; see there for REAL
and NAME.

The generator has no state: draw number e of a seed is a function of the two, so the mask depends on nothing else. It
is SplitMix64 (Steele, Lea, Flood 2014; the constants are those of Sebastiano Vigna's code in the public domain),
started at the seed after two rounds of mixing: the sequences of neighbouring seeds start at unrelated places.
*/

static const uint64_t GOLDEN = UINT64_C(0x9e3779b97f4a7c15); /* 2^64 over the golden ratio, odd */

static uint64_t mixed(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* What a seed and p decide: where its sequence starts, and below which of 2^53 numbers an element is dropped */
struct draws {
    uint64_t start, limit;
};

static struct draws draws_of(int64_t seed, double p)
{
    const struct draws draws = {
        .start = mixed(mixed((uint64_t)seed + GOLDEN) + GOLDEN),
        .limit = (uint64_t)ceil(p * 9007199254740992.0), /* 2^53: exact for p >= 2^-53; all of them for p = 1 */
    };
    return draws;
}

/* Is draw number e one that drops? With probability p. */
static int drops(const struct draws *draws, int64_t e)
{
    return (mixed(draws->start + GOLDEN * ((uint64_t)e + 1)) >> 11) < draws->limit;
}

int NAME(dropout)(const struct dropout *p, const REAL *x, REAL *y)
{
    int64_t shape[1];
    int status = dropout_shape(p, shape);
    if (status)
        return status;
    const int is_identity = !p->training || p->p == 0;
    if (is_identity && p->elements > 0)
        memcpy(y, x, (size_t)p->elements * sizeof(REAL));
    if (is_identity)
        return CONVSPEC_OK;
    const struct draws draws = draws_of(p->seed, p->p);
    for (int64_t e = 0; e < p->elements; e++)
        y[e] = drops(&draws, e) ? 0 : (REAL)(x[e] / (1 - p->p));
    return CONVSPEC_OK;
}

/* one draw for each channel of each image */
int NAME(dropout2d)(const struct dropout2d *p, const REAL *x, REAL *y)
{
    int64_t shape[4];
    int status = dropout2d_shape(p, shape);
    if (status)
        return status;
    if (p->n == 0 || p->c == 0 || p->h == 0 || p->w == 0)
        return CONVSPEC_OK;
    const int64_t channels = p->n * p->c, HW = p->h * p->w;
    if (!p->training || p->p == 0) {
        memcpy(y, x, (size_t)(channels * HW) * sizeof(REAL));
        return CONVSPEC_OK;
    }
    const struct draws draws = draws_of(p->seed, p->p);
    for (int64_t nc = 0; nc < channels; nc++) {
        const int is_dropped = drops(&draws, nc);
        for (int64_t e = nc * HW; e < (nc + 1) * HW; e++)
            y[e] = is_dropped ? 0 : (REAL)(x[e] / (1 - p->p));
    }
    return CONVSPEC_OK;
}
