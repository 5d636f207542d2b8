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

template <class T> inline T through_act(T grad, T x, T scale, T shift, T negative_slope) {
    return fused(x, scale, shift) > 0 ? grad : grad * negative_slope;
}

template <class S> void channel_sums(const S* x, double* out, int64_t rows, int64_t channels, int64_t threads) {
    sum_pairs(out, rows, channels, threads, [=](int64_t r, int64_t c, double& a, double& b) {
        const double v = value(x[r * channels + c]);
        a += v;
        b += v * v;
    });
}

template <class T>
void affine_act(const T* x, const T* scale, const T* shift, T* y, double negative_slope, int64_t rows,
                int64_t channels, int64_t threads) {
    const T slope = static_cast<T>(negative_slope);
    each_row(rows, channels, threads, [=](int64_t r) {
        const T* in = x + r * channels;
        T* __restrict out = y + r * channels;
#pragma GCC ivdep
        for (int64_t c = 0; c < channels; ++c) {
            const T v = fused(in[c], scale[c], shift[c]);
            out[c] = v > 0 ? v : v * slope;
        }
    });
}

template <class T>
void affine_act_sums(const T* grad, const T* x, const T* scale, const T* shift, double* out, double negative_slope,
                     int64_t rows, int64_t channels, int64_t threads) {
    const T slope = static_cast<T>(negative_slope);
    sum_pairs(out, rows, channels, threads, [=](int64_t r, int64_t c, double& a, double& b) {
        const T v = x[r * channels + c];
        const double g = through_act(grad[r * channels + c], v, scale[c], shift[c], slope);
        a += g;
        b += g * static_cast<double>(v);
    });
}

// dx may be grad.
template <class T>
void affine_act_backward(const T* grad, const T* x, const T* scale, const T* shift, const T* slope, const T* offset,
                         T* dx, double negative_slope, int64_t rows, int64_t channels, int64_t threads) {
    const T act_slope = static_cast<T>(negative_slope);
    each_row(rows, channels, threads, [=](int64_t r) {
        const T *in = x + r * channels, *g = grad + r * channels;
        T* out = dx + r * channels;
#pragma GCC ivdep
        for (int64_t c = 0; c < channels; ++c)
            out[c] = through_act(g[c], in[c], scale[c], shift[c], act_slope) * scale[c] + fused(in[c], slope[c], offset[c]);
    });
}

template <class S>
void affine_clamp(const S* x, const Real<S>* scale, const Real<S>* shift, S* y, double low, double high, int64_t rows,
                  int64_t channels, int64_t threads) {
    const auto least = static_cast<Real<S>>(low), most = static_cast<Real<S>>(high);
    each_row(rows, channels, threads, [=](int64_t r) {
        const S* in = x + r * channels;
        S* __restrict out = y + r * channels;
#pragma GCC ivdep
        for (int64_t c = 0; c < channels; ++c) {
            Real<S> v = fused(value(in[c]), scale[c], shift[c]);
            v = v < least ? least : v;
            put(out + c, v > most ? most : v);
        }
    });
}

template <class T> inline T through_clamp(T grad, T x, T scale, T shift, T low, T high) {
    const T v = fused(x, scale, shift);
    return v > low && v < high ? grad : T(0);
}

template <class S>
void affine_clamp_sums(const S* grad, const S* x, const Real<S>* scale, const Real<S>* shift, double* out, double low,
                       double high, int64_t rows, int64_t channels, int64_t threads) {
    const auto least = static_cast<Real<S>>(low), most = static_cast<Real<S>>(high);
    sum_pairs(out, rows, channels, threads, [=](int64_t r, int64_t c, double& a, double& b) {
        const Real<S> v = value(x[r * channels + c]);
        const double g = through_clamp(value(grad[r * channels + c]), v, scale[c], shift[c], least, most);
        a += g;
        b += g * static_cast<double>(v);
    });
}

template <class S>
void affine_clamp_backward(const S* grad, const S* x, const Real<S>* scale, const Real<S>* shift, const Real<S>* slope,
                           const Real<S>* offset, S* dx, double low, double high, int64_t rows, int64_t channels,
                           int64_t threads) {
    const auto least = static_cast<Real<S>>(low), most = static_cast<Real<S>>(high);
    each_row(rows, channels, threads, [=](int64_t r) {
        const S *in = x + r * channels, *g = grad + r * channels;
        S* __restrict out = dx + r * channels;
#pragma GCC ivdep
        for (int64_t c = 0; c < channels; ++c) {
            const Real<S> v = value(in[c]);
            const Real<S> before = through_clamp(value(g[c]), v, scale[c], shift[c], least, most);
            put(out + c, before * scale[c] + fused(v, slope[c], offset[c]));
        }
    });
}

}  // namespace

EXPORT(channel_sums)
EXPORT(affine_act)
EXPORT(affine_act_sums)
EXPORT(affine_act_backward)
EXPORT(affine_clamp)
EXPORT(affine_clamp_sums)
EXPORT(affine_clamp_backward)
EXPORT_BFLOAT16(channel_sums)
EXPORT_BFLOAT16(affine_clamp)
EXPORT_BFLOAT16(affine_clamp_sums)
EXPORT_BFLOAT16(affine_clamp_backward)
