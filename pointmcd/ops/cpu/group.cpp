// Ball query, grouping and interpolation.
#include "simd.h"

namespace {

// out (B, M, k): see ball_query in group.py.
template <class T>
void ball_query(const T* points, const T* centers, int64_t* out, double radius, int64_t batch, int64_t n, int64_t count,
                int64_t k, int64_t threads) {
    constexpr int L = LANES<T>;
    const int64_t padded = round_up(n, L), block = 256, parts = (count + block - 1) / block;
    const T limit = static_cast<T>(radius * radius), inf = std::numeric_limits<T>::infinity();
    parallel_for(batch * parts, threads, [&](int64_t task) {
        const int64_t b = task / parts, first = task % parts * block, last = std::min(count, first + block);
        T* x = scratch<T>(0, 3 * padded);
        T *y = x + padded, *z = y + padded;
        for (int64_t i = 0; i < padded; ++i) {
            const T* p = points + (b * n + i) * 3;
            x[i] = i < n ? p[0] : inf;
            y[i] = i < n ? p[1] : inf;
            z[i] = i < n ? p[2] : inf;
        }
        for (int64_t m = first; m < last; ++m) {
            const T* c = centers + (b * count + m) * 3;
            int64_t* to = out + (b * count + m) * k;
            int64_t found = 0;
            auto squares = [&](int64_t i) {
                const Vec<T> dx = c[0] - load<Vec<T>>(x + i), dy = c[1] - load<Vec<T>>(y + i), dz = c[2] - load<Vec<T>>(z + i);
                return dx * dx + dy * dy + dz * dz;
            };
            for (int64_t i = 0; i < padded && found < k; i += L)
                for (unsigned bits = lane_bits((IndexVec<T>)(squares(i) <= limit)); bits && found < k; bits &= bits - 1)
                    if (i + __builtin_ctz(bits) < n) to[found++] = i + __builtin_ctz(bits);
            if (found == 0) {
                T least = inf;
                to[found++] = 0;
                for (int64_t i = 0; i < padded; i += L) {
                    const Vec<T> d = squares(i);
                    for (int lane = 0; lane < L; ++lane)
                        if (d[lane] < least) {
                            least = d[lane];
                            to[0] = i + lane;
                        }
                }
            }
            std::fill(to + found, to + k, to[0]);
        }
    });
}

// out (B, M, k, C) = per_point[index] - per_center.
template <class T>
void group(const T* per_point, const T* per_center, const int64_t* index, T* out, int64_t batch, int64_t points,
           int64_t centers, int64_t k, int64_t channels, int64_t threads) {
    const int64_t block = 64, parts = (centers + block - 1) / block;
    parallel_for(batch * parts, threads, [&](int64_t task) {
        const int64_t b = task / parts, first = task % parts * block, last = std::min(centers, first + block);
        for (int64_t m = b * centers + first; m < b * centers + last; ++m) {
            const T* center = per_center + m * channels;
            for (int64_t j = m * k; j < (m + 1) * k; ++j) {
                const T* from = per_point + (b * points + index[j]) * channels;
                T* __restrict to = out + j * channels;
#pragma GCC ivdep
                for (int64_t c = 0; c < channels; ++c) to[c] = from[c] - center[c];
            }
        }
    });
}

// dpoint (B, N, C), zero on entry, and dcenter (B, M, C) from grad (B, M, k, C).
template <class T>
void group_backward(const T* grad, const int64_t* index, T* dpoint, T* dcenter, int64_t batch, int64_t points,
                    int64_t centers, int64_t k, int64_t channels, int64_t threads) {
    const int64_t block = 128, parts = (channels + block - 1) / block;
    parallel_for(batch * parts, threads, [&](int64_t task) {
        const int64_t b = task / parts, c0 = task % parts * block, c1 = std::min(channels, c0 + block);
        for (int64_t m = b * centers; m < (b + 1) * centers; ++m) {
            T* __restrict center = dcenter + m * channels;
            std::fill(center + c0, center + c1, T(0));
            for (int64_t j = m * k; j < (m + 1) * k; ++j) {
                const T* g = grad + j * channels;
                T* __restrict to = dpoint + (b * points + index[j]) * channels;
#pragma GCC ivdep
                for (int64_t c = c0; c < c1; ++c) {
                    to[c] += g[c];
                    center[c] -= g[c];
                }
            }
        }
    });
}

// out (B, Q, C) = sum over j of weight (B, Q, k) * feats[index].
template <class T>
void weighted_sum(const T* feats, const int64_t* index, const T* weight, T* out, int64_t batch, int64_t points,
                  int64_t queries, int64_t k, int64_t channels, int64_t threads) {
    const int64_t block = 64, parts = (queries + block - 1) / block;
    parallel_for(batch * parts, threads, [&](int64_t task) {
        const int64_t b = task / parts, first = task % parts * block, last = std::min(queries, first + block);
        for (int64_t q = b * queries + first; q < b * queries + last; ++q) {
            T* __restrict to = out + q * channels;
            for (int64_t j = 0; j < k; ++j) {
                const T w = weight[q * k + j];
                const T* from = feats + (b * points + index[q * k + j]) * channels;
#pragma GCC ivdep
                for (int64_t c = 0; c < channels; ++c) to[c] = j ? to[c] + w * from[c] : w * from[c];
            }
        }
    });
}

// dfeats (B, M, C), zero on entry.
template <class T>
void weighted_sum_backward(const T* grad, const int64_t* index, const T* weight, T* dfeats, int64_t batch,
                           int64_t points, int64_t queries, int64_t k, int64_t channels, int64_t threads) {
    const int64_t block = 128, parts = (channels + block - 1) / block;
    parallel_for(batch * parts, threads, [&](int64_t task) {
        const int64_t b = task / parts, c0 = task % parts * block, c1 = std::min(channels, c0 + block);
        for (int64_t q = b * queries; q < (b + 1) * queries; ++q)
            for (int64_t j = q * k; j < (q + 1) * k; ++j) {
                T* __restrict to = dfeats + (b * points + index[j]) * channels;
#pragma GCC ivdep
                for (int64_t c = c0; c < c1; ++c) to[c] += weight[j] * grad[q * channels + c];
            }
    });
}

}  // namespace

EXPORT(ball_query)
EXPORT(group)
EXPORT(group_backward)
EXPORT(weighted_sum)
EXPORT(weighted_sum_backward)
