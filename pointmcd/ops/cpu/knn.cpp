// k nearest neighbours: approximate squared distances by a blocked matrix product, a threshold that at least k of them
// meet, exact distances for the few that do.
#include "simd.h"

namespace {

constexpr int ROWS = REGISTERS == 32 ? 6 : 2;  // queries: ROWS * TILE accumulators stay in registers
constexpr int64_t DIRECT = 8;                 // up to so many channels, differences cost no more than products
constexpr int SPARE = 2;                      // groups more than k whose minimum may meet the threshold

// rows (ROWS, stride) of squared distances to `panels` panels of points, and for each row the minima of `sets` * W
// groups of points. Expanded: norms of points, queries times -2 and norms of queries; else plain differences.
template <class T, bool EXPANDED>
void distances(const T* packed, const T* norms, const T* query, const T* query_norm, int64_t panels, int64_t channels,
               int64_t sets, T* rows, int64_t stride, T* minima) {
    constexpr int L = LANES<T>;
    constexpr int64_t W = TILE * L;
    for (int64_t panel = 0; panel < panels; ++panel) {
        Vec<T> sum[ROWS][TILE];
        for (int r = 0; r < ROWS; ++r)
            for (int t = 0; t < TILE; ++t) {
                sum[r][t] = load<Vec<T>>(norms + panel * W + t * L);  // infinite beyond the last point
                if (EXPANDED) sum[r][t] += query_norm[r];
            }
        const T* point = packed + panel * channels * W;
        for (int64_t c = 0; c < channels; ++c) {
            Vec<T> x[TILE];
            for (int t = 0; t < TILE; ++t) x[t] = load<Vec<T>>(point + c * W + t * L);
            for (int r = 0; r < ROWS; ++r) {
                const Vec<T> q = splat(query[c * ROWS + r]);
                for (int t = 0; t < TILE; ++t) {
                    if (EXPANDED) {
                        sum[r][t] = fma(x[t], q, sum[r][t]);
                    } else {
                        const Vec<T> d = x[t] - q;
                        sum[r][t] += d * d;
                    }
                }
            }
        }
        T* least = minima + panel % sets * W;
        for (int r = 0; r < ROWS; ++r)
            for (int t = 0; t < TILE; ++t) {
                // A NaN becomes infinite; in an expanded square it leaves no limit, and every point is taken.
                const Vec<T> none = EXPANDED ? Vec<T>{} : splat(std::numeric_limits<T>::infinity());
                const auto real = EXPANDED ? sum[r][t] > 0 : sum[r][t] >= 0;
                const Vec<T> d = real ? sum[r][t] : none;
                const Vec<T> m = load<Vec<T>>(least + r * sets * W + t * L);
                store(rows + r * stride + panel * W + t * L, d);
                store(least + r * sets * W + t * L, d < m ? d : m);
            }
    }
}

// A value that at least k of the n non-negative minima do not exceed, and few more do. Non-negative floats compare like
// the integers of the same bits, which bisection halves whatever their scale.
template <class T> T threshold(const T* minima, int64_t n, int64_t k) {
    Index<T> low = std::numeric_limits<Index<T>>::max(), high = 0;
    auto* bits = scratch<Index<T>>(6, n);
    std::memcpy(bits, minima, n * sizeof(T));
    for (int64_t i = 0; i < n; ++i) {
        low = std::min(low, bits[i]);
        high = std::max(high, bits[i]);
    }
    while (low < high) {
        const Index<T> middle = low + (high - low) / 2;
        Index<T> count = 0;
        for (int64_t i = 0; i < n; ++i) count += bits[i] <= middle;
        if (count < k) {
            low = middle + 1;
        } else {
            high = middle;
            if (count <= k + SPARE) break;
        }
    }
    T value;
    std::memcpy(&value, &high, sizeof(T));
    return value;
}

template <class T> T square_distance(const T* a, const T* b, int64_t channels) {
    constexpr int L = LANES<T>;
    Vec<T> sum{};
    int64_t c = 0;
    for (; c + L <= channels; c += L) {
        const Vec<T> d = load<Vec<T>>(a + c) - load<Vec<T>>(b + c);
        sum = fma(d, d, sum);
    }
    T total = 0;
    for (; c < channels; ++c) total += (a[c] - b[c]) * (a[c] - b[c]);
    return total + lane_sum(sum);
}

// The k least of n candidates by distance, then index; they come in order of index. `distance` has room up to a multiple
// of the lanes. Each one's rank is counted: no branch depends on the data.
template <class T> void order(T* distance, const int32_t* index, int64_t n, int64_t k, int64_t* out, T* out_distance) {
    constexpr int L = LANES<T>;
    if (n > 256) {
        auto* by = scratch<int64_t>(7, n);
        for (int64_t i = 0; i < n; ++i) by[i] = i;
        std::partial_sort(by, by + k, by + n, [=](int64_t a, int64_t b) {
            return distance[a] != distance[b] ? distance[a] < distance[b] : index[a] < index[b];
        });
        for (int64_t i = 0; i < k; ++i) {
            out[i] = index[by[i]];
            if (out_distance) out_distance[i] = distance[by[i]];
        }
        return;
    }
    const int64_t end = round_up(n, L);
    std::fill(distance + n, distance + end, std::numeric_limits<T>::infinity());
    for (int64_t i = 0; i < n; ++i) {
        const Vec<T> d = splat(distance[i]);
        const int64_t own = i / L * L;
        const unsigned before = (1u << (i - own)) - 1;  // of equal ones those before it come first
        int rank = 0;
        for (int64_t j = 0; j < own; j += L) rank += __builtin_popcount(lane_bits((IndexVec<T>)(load<Vec<T>>(distance + j) <= d)));
        const Vec<T> same = load<Vec<T>>(distance + own);
        rank += __builtin_popcount((lane_bits((IndexVec<T>)(same <= d)) & before) |
                                   (lane_bits((IndexVec<T>)(same < d)) & ~before));
        for (int64_t j = own + L; j < end; j += L) rank += __builtin_popcount(lane_bits((IndexVec<T>)(load<Vec<T>>(distance + j) < d)));
        if (rank >= k) continue;
        out[rank] = index[i];
        if (out_distance) out_distance[rank] = distance[i];
    }
}

template <class T> T finite(T d) { return d == d ? d : std::numeric_limits<T>::infinity(); }

// A cloud packed for distances(): panels of W points, channel first.
template <class T> void pack(const T* points, const T* mean, T* packed, T* norms, int64_t n, int64_t channels, bool expanded) {
    constexpr int64_t W = TILE * LANES<T>;
    for (int64_t i = 0; i < round_up(n, W); ++i) {
        T* to = packed + i / W * channels * W + i % W;
        T norm = 0;
        for (int64_t c = 0; c < channels; ++c) {
            const T x = i < n ? points[i * channels + c] - mean[c] : T(0);
            to[c * W] = x;
            norm += x * x;
        }
        norms[i] = i >= n ? std::numeric_limits<T>::infinity() : expanded ? norm : T(0);
    }
}

// out (B, Q, k), and where out_distance is given the squared distances, from points (B, N, C) and queries (B, Q, C).
template <class T>
void knn(const T* points, const T* queries, int64_t* out, T* out_distance, int64_t batch, int64_t n, int64_t count,
         int64_t channels, int64_t k, int64_t threads) {
    constexpr int64_t W = TILE * LANES<T>;
    const bool expanded = channels > DIRECT;
    const int64_t panels = (n + W - 1) / W, stride = panels * W, sets = (2 * k + W - 1) / W;
    const int64_t share = round_up(std::max<int64_t>(batch >= threads ? count : (count + threads - 1) / threads, 1), ROWS);
    const int64_t parts = (count + share - 1) / share;
    parallel_for(batch * parts, threads, [&](int64_t task) {
        const int64_t b = task / parts, first = task % parts * share, last = std::min(count, first + share);
        const T* cloud = points + b * n * channels;
        T* packed = scratch<T>(0, stride * channels);
        T* norms = scratch<T>(1, stride);
        T* rows = scratch<T>(2, ROWS * stride);
        T* minima = scratch<T>(3, ROWS * sets * W);
        T* small = scratch<T>(4, channels * (ROWS + 1) + n + LANES<T>);
        T *mean = small, *query = small + channels, *found_distance = query + channels * ROWS;
        auto* found = scratch<int32_t>(5, n + LANES<T>);
        std::fill(mean, mean + channels, T(0));
        if (expanded) {  // near zero the expanded square loses the fewest digits
            for (int64_t i = 0; i < n; ++i)
                for (int64_t c = 0; c < channels; ++c) mean[c] += cloud[i * channels + c] / n;
        }
        pack(cloud, mean, packed, norms, n, channels, expanded);
        const T largest = *std::max_element(norms, norms + n);
        for (int64_t q0 = first; q0 < last; q0 += ROWS) {
            T query_norm[ROWS];
            for (int64_t r = 0; r < ROWS; ++r) {
                const T* q = queries + (b * count + std::min(q0 + r, last - 1)) * channels;
                for (int64_t c = 0; c < channels; ++c) query[c * ROWS + r] = expanded ? -2 * (q[c] - mean[c]) : q[c];
                query_norm[r] = expanded ? square_distance(q, mean, channels) : T(0);
            }
            std::fill(minima, minima + ROWS * sets * W, std::numeric_limits<T>::infinity());
            if (expanded)
                distances<T, true>(packed, norms, query, query_norm, panels, channels, sets, rows, stride, minima);
            else
                distances<T, false>(packed, norms, query, query_norm, panels, channels, sets, rows, stride, minima);
            for (int64_t r = 0; r < std::min<int64_t>(ROWS, last - q0); ++r) {
                T limit = threshold(minima + r * sets * W, sets * W, k);
                // rounding of the expanded square: 16 units in the last place of its largest term
                if (expanded) limit += 16 * std::numeric_limits<T>::epsilon() / 2 * (largest + query_norm[r]) * 2;
                const T* row = rows + r * stride;
                int64_t taken = 0;
                for (int64_t i = 0; i < n; i += LANES<T>)
                    taken += append_true<T>(load<Vec<T>>(row + i) <= limit, i, found + taken);
                while (taken && found[taken - 1] >= n) --taken;
                if (taken < k) {  // coordinates that are not numbers
                    taken = n;
                    for (int64_t i = 0; i < n; ++i) found[i] = static_cast<int32_t>(i);
                }
                const int64_t at = b * count + q0 + r;
                for (int64_t i = 0; i < taken; ++i)
                    found_distance[i] = finite(expanded ? square_distance(cloud + found[i] * channels,
                                                                          queries + at * channels, channels)
                                                        : row[found[i]]);
                order(found_distance, found, taken, k, out + at * k, out_distance ? out_distance + at * k : nullptr);
            }
        }
    });
}

}  // namespace

EXPORT(knn)
