// Batch norm and an activation over rows (R, C): sums in double, and what is done to each element.
#include "bfloat16.h"

namespace {

// Rows are cut into chunks of a size that depends on C alone; chunk sums are added in order.
int64_t chunk_rows(int64_t channels) { return std::max<int64_t>(16, (1 << 17) / std::max<int64_t>(channels, 1)); }

// out (2, C) = sum over rows of pair(r, c, &a, &b).
template <class F> void sum_pairs(double* out, int64_t rows, int64_t channels, int64_t threads, F pair) {
    const int64_t step = chunk_rows(channels), chunks = (rows + step - 1) / step;
    std::vector<double> partial(chunks * 2 * channels, 0.0);
    parallel_for(chunks, threads, [&](int64_t chunk) {
        double* __restrict a = partial.data() + chunk * 2 * channels;
        double* __restrict b = a + channels;
        const int64_t end = std::min(rows, (chunk + 1) * step);
        int64_t r = chunk * step;
        for (; r + 4 <= end; r += 4) {
#pragma GCC ivdep
            for (int64_t c = 0; c < channels; ++c) {
                double x = a[c], y = b[c];
                pair(r, c, x, y);
                pair(r + 1, c, x, y);
                pair(r + 2, c, x, y);
                pair(r + 3, c, x, y);
                a[c] = x;
                b[c] = y;
            }
        }
        for (; r < end; ++r) {
#pragma GCC ivdep
            for (int64_t c = 0; c < channels; ++c) pair(r, c, a[c], b[c]);
        }
    });
    std::fill(out, out + 2 * channels, 0.0);
    for (int64_t chunk = 0; chunk < chunks; ++chunk)
        for (int64_t c = 0; c < 2 * channels; ++c) out[c] += partial[chunk * 2 * channels + c];
}

template <class F> void each_row(int64_t rows, int64_t channels, int64_t threads, F row) {
    const int64_t step = chunk_rows(channels);
    parallel_for((rows + step - 1) / step, threads, [&](int64_t chunk) {
        const int64_t end = std::min(rows, (chunk + 1) * step);
        for (int64_t r = chunk * step; r < end; ++r) row(r);
    });
}

// A ceiling that is not a number is none: nothing reaches it.
template <class T> inline T through_act(T grad, T x, T scale, T shift, T negative_slope, T ceiling) {
    const T v = fused(x, scale, shift);
    return v >= ceiling ? T(0) : v > 0 ? grad : grad * negative_slope;
}

template <class S> void channel_sums(const S* x, double* out, int64_t rows, int64_t channels, int64_t threads) {
    sum_pairs(out, rows, channels, threads, [=](int64_t r, int64_t c, double& a, double& b) {
        const double v = value(x[r * channels + c]);
        a += v;
        b += v * v;
    });
}

template <class S>
void affine_act(const S* x, const Real<S>* scale, const Real<S>* shift, S* y, double negative_slope, double ceiling,
                int64_t rows, int64_t channels, int64_t threads) {
    const auto slope = static_cast<Real<S>>(negative_slope), most = static_cast<Real<S>>(ceiling);
    each_row(rows, channels, threads, [=](int64_t r) {
        const S* in = x + r * channels;
        S* __restrict out = y + r * channels;
#pragma GCC ivdep
        for (int64_t c = 0; c < channels; ++c) {
            Real<S> v = fused(value(in[c]), scale[c], shift[c]);
            v = v > 0 ? v : v * slope;
            put(out + c, v >= most ? most : v);
        }
    });
}

template <class S>
void affine_act_sums(const S* grad, const S* x, const Real<S>* scale, const Real<S>* shift, double* out,
                     double negative_slope, double ceiling, int64_t rows, int64_t channels, int64_t threads) {
    const auto slope = static_cast<Real<S>>(negative_slope), most = static_cast<Real<S>>(ceiling);
    sum_pairs(out, rows, channels, threads, [=](int64_t r, int64_t c, double& a, double& b) {
        const Real<S> v = value(x[r * channels + c]);
        const double g = through_act(value(grad[r * channels + c]), v, scale[c], shift[c], slope, most);
        a += g;
        b += g * static_cast<double>(v);
    });
}

// dx may be grad.
template <class S>
void affine_act_backward(const S* grad, const S* x, const Real<S>* scale, const Real<S>* shift, const Real<S>* slope,
                         const Real<S>* offset, S* dx, double negative_slope, double ceiling, int64_t rows,
                         int64_t channels, int64_t threads) {
    const auto act_slope = static_cast<Real<S>>(negative_slope), most = static_cast<Real<S>>(ceiling);
    each_row(rows, channels, threads, [=](int64_t r) {
        const S *in = x + r * channels, *g = grad + r * channels;
        S* out = dx + r * channels;
#pragma GCC ivdep
        for (int64_t c = 0; c < channels; ++c) {
            const Real<S> v = value(in[c]);
            const Real<S> before = through_act(value(g[c]), v, scale[c], shift[c], act_slope, most);
            put(out + c, before * scale[c] + fused(v, slope[c], offset[c]));
        }
    });
}

}  // namespace

EXPORT(channel_sums)
EXPORT(affine_act)
EXPORT(affine_act_sums)
EXPORT(affine_act_backward)
EXPORT_BFLOAT16(channel_sums)
EXPORT_BFLOAT16(affine_act)
EXPORT_BFLOAT16(affine_act_sums)
EXPORT_BFLOAT16(affine_act_backward)
