// Farthest point sampling: a plain scan, and for many points one over the leaves of a k-d tree that a new point can reach.
#include "common.h"

namespace {

constexpr int64_t LEAF = 128;
constexpr int64_t BUCKETED = 4096;  // from so many points on the tree pays

// Points coordinate first, the squared distance to the chosen ones, and the index of each in the caller's order.
template <class T> struct Cloud {
    T *x, *y, *z, *distance;
    Index<T>* index;
};

template <class T> struct Farthest {
    T distance;
    Index<T> index;  // in the caller's order, the lowest of equally far ones
    bool operator<(const Farthest& other) const {
        return distance != other.distance ? distance < other.distance : index > other.index;
    }
};

// Takes a new chosen point into the distances of points [from, to) (multiples of the lanes); gives the farthest.
template <class T> Farthest<T> update(const Cloud<T>& cloud, int64_t from, int64_t to, T x, T y, T z) {
    constexpr int L = LANES<T>;
    Vec<T> best = splat(T(-1));
    IndexVec<T> at = splat_index<T>(0);
    for (int64_t i = from; i < to; i += L) {
        const Vec<T> dx = load<Vec<T>>(cloud.x + i) - x, dy = load<Vec<T>>(cloud.y + i) - y,
                     dz = load<Vec<T>>(cloud.z + i) - z;
        const Vec<T> d = dx * dx + dy * dy + dz * dz, old = load<Vec<T>>(cloud.distance + i);
        const Vec<T> now = d < old ? d : old;
        const IndexVec<T> index = load<IndexVec<T>>(cloud.index + i);
        store(cloud.distance + i, now);
        const auto better = (now > best) | ((now == best) & (index < at));
        best = better ? now : best;
        at = better ? index : at;
    }
    Farthest<T> farthest{best[0], at[0]};
    for (int i = 1; i < L; ++i) farthest = std::max(farthest, Farthest<T>{best[i], at[i]});
    return farthest;
}

template <class T> struct Leaf {
    int64_t from, to;
    T low[3], high[3];
    Farthest<T> farthest;

    // Of the distance from a point to this box a lower bound that rounding does not lift.
    T reach(const T* p) const {
        T sum = 0;
        for (int axis = 0; axis < 3; ++axis) {
            const T d = std::max(std::max(low[axis] - p[axis], p[axis] - high[axis]), T(0));
            sum += d * d;
        }
        return sum * (1 - 8 * std::numeric_limits<T>::epsilon());
    }
};

// A coordinate of a point whose index may be too narrow for its offset.
template <class T> inline T coordinate(const T* points, int64_t i, int axis) { return points[i * 3 + axis]; }

template <class T>
void split(const T* points, Index<T>* order, int64_t from, int64_t to, std::vector<std::pair<int64_t, int64_t>>& leaves) {
    if (to - from <= LEAF) {
        leaves.emplace_back(from, to);
        return;
    }
    int widest = 0;
    T extent = -1;
    for (int axis = 0; axis < 3; ++axis) {
        T low = coordinate(points, order[from], axis), high = low;
        for (int64_t i = from; i < to; ++i) {
            low = std::min(low, coordinate(points, order[i], axis));
            high = std::max(high, coordinate(points, order[i], axis));
        }
        if (high - low > extent) {
            extent = high - low;
            widest = axis;
        }
    }
    const int64_t middle = from + (to - from) / 2;
    std::nth_element(order + from, order + middle, order + to,
                     [=](Index<T> a, Index<T> b) { return coordinate(points, a, widest) < coordinate(points, b, widest); });
    split(points, order, from, middle, leaves);
    split(points, order, middle, to, leaves);
}

template <class T> void sample_one(const T* points, int64_t* out, int64_t n, int64_t count) {
    constexpr int L = LANES<T>;
    auto* order = scratch<Index<T>>(0, n);
    for (int64_t i = 0; i < n; ++i) order[i] = static_cast<Index<T>>(i);
    std::vector<std::pair<int64_t, int64_t>> ranges;
    if (n >= BUCKETED)
        split(points, order, 0, n, ranges);
    else
        ranges.emplace_back(0, n);
    const int64_t leaves = static_cast<int64_t>(ranges.size()), capacity = n + leaves * L;
    T* values = scratch<T>(1, 4 * capacity);
    Cloud<T> cloud{values, values + capacity, values + 2 * capacity, values + 3 * capacity, scratch<Index<T>>(2, capacity)};
    auto* leaf = scratch<Leaf<T>>(3, leaves);
    int64_t end = 0;
    for (int64_t l = 0; l < leaves; ++l) {
        leaf[l].from = end;
        for (int axis = 0; axis < 3; ++axis) {
            leaf[l].low[axis] = std::numeric_limits<T>::infinity();
            leaf[l].high[axis] = -std::numeric_limits<T>::infinity();
        }
        for (int64_t i = ranges[l].first; i < ranges[l].second; ++i, ++end) {
            const T* p = points + static_cast<int64_t>(order[i]) * 3;
            cloud.x[end] = p[0];
            cloud.y[end] = p[1];
            cloud.z[end] = p[2];
            cloud.distance[end] = std::numeric_limits<T>::infinity();
            cloud.index[end] = order[i];
            for (int axis = 0; axis < 3; ++axis) {
                leaf[l].low[axis] = std::min(leaf[l].low[axis], p[axis]);
                leaf[l].high[axis] = std::max(leaf[l].high[axis], p[axis]);
            }
        }
        for (; end % L; ++end) {  // a filler is never farther than a point
            cloud.x[end] = cloud.y[end] = cloud.z[end] = 0;
            cloud.distance[end] = -1;
            cloud.index[end] = std::numeric_limits<Index<T>>::max();
        }
        leaf[l].to = end;
        leaf[l].farthest = {std::numeric_limits<T>::infinity(), 0};
    }
    int64_t last = 0;
    for (int64_t i = 0; i < count; ++i) {
        out[i] = last;
        const T* p = points + last * 3;
        Farthest<T> farthest{T(-1), 0};
        for (int64_t l = 0; l < leaves; ++l) {
            if (leaves == 1 || leaf[l].reach(p) < leaf[l].farthest.distance)
                leaf[l].farthest = update(cloud, leaf[l].from, leaf[l].to, p[0], p[1], p[2]);
            farthest = std::max(farthest, leaf[l].farthest);
        }
        last = farthest.distance >= 0 ? farthest.index : 0;
    }
}

// out (B, count) from points (B, N, 3).
template <class T>
void farthest_point_sample(const T* points, int64_t* out, int64_t batch, int64_t n, int64_t count, int64_t threads) {
    parallel_for(batch, threads, [&](int64_t b) { sample_one(points + b * n * 3, out + b * count, n, count); });
}

}  // namespace

EXPORT(farthest_point_sample)
