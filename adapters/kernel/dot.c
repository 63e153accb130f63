/*
dot.c: the sum of products of two rows. Included by kernel_f32.c and kernel_f64.c; see there for REAL and NAME.
*/

enum { LANES = 16 }; /* independent partial sums: without them the additions wait for one another */

static REAL NAME(dot)(const REAL *a, const REAL *b, int64_t count)
{
    REAL lane[LANES] = {0};
    int64_t e = 0;
    for (; e + LANES <= count; e += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += a[e + l] * b[e + l];
    REAL sum = 0;
    for (; e < count; e++)
        sum += a[e] * b[e];
    for (int l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}
