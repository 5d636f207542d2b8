// Farthest point sampling: a plain scan, and for many points one over the leaves of an octree that a new point can reach.
#include "common.h"

namespace {

constexpr int64_t LEAF = 512;
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

template <class T> struct Point {
    T at[3];
    Index<T> index;
};

// Sorts points [from, to) into the octants of their bounding box, and on until at most LEAF, or equal ones, are together.
template <class T>
void split(Point<T>* points, Point<T>* spare, int64_t from, int64_t to, std::vector<std::pair<int64_t, int64_t>>& leaves) {
    T low[3], high[3], middle[3];
    for (int axis = 0; axis < 3; ++axis) {
        low[axis] = high[axis] = points[from].at[axis];
        for (int64_t i = from; i < to; ++i) {
            low[axis] = std::min(low[axis], points[i].at[axis]);
            high[axis] = std::max(high[axis], points[i].at[axis]);
        }
        middle[axis] = low[axis] + (high[axis] - low[axis]) / 2;
    }
    const auto octant = [&](const Point<T>& p) {
        return (p.at[0] > middle[0]) + 2 * (p.at[1] > middle[1]) + 4 * (p.at[2] > middle[2]);
    };
    int64_t size[8] = {}, end[8];
    for (int64_t i = from; i < to; ++i) ++size[octant(points[i])];
    if (to - from <= LEAF || *std::max_element(size, size + 8) == to - from) {
        leaves.emplace_back(from, to);
        return;
    }
    std::copy(points + from, points + to, spare + from);
    for (int64_t o = 0, at = from; o < 8; at += size[o++]) end[o] = at;
    for (int64_t i = from; i < to; ++i) points[end[octant(spare[i])]++] = spare[i];
    for (int o = 0; o < 8; ++o)
        if (size[o]) split(points, spare, end[o] - size[o], end[o], leaves);
}

template <class T> void sample_one(const T* points, int64_t* out, int64_t n, int64_t count) {
    constexpr int L = LANES<T>;
    auto* sorted = scratch<Point<T>>(0, 2 * n);
    for (int64_t i = 0; i < n; ++i)
        sorted[i] = {{points[i * 3], points[i * 3 + 1], points[i * 3 + 2]}, static_cast<Index<T>>(i)};
    std::vector<std::pair<int64_t, int64_t>> ranges;
    if (n >= BUCKETED)
        split(sorted, sorted + n, 0, n, ranges);
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
            const T* p = sorted[i].at;
            cloud.x[end] = p[0];
            cloud.y[end] = p[1];
            cloud.z[end] = p[2];
            // a point that is nowhere is as one that is chosen already
            const bool finite = (p[0] - p[0]) + (p[1] - p[1]) + (p[2] - p[2]) == 0;
            cloud.distance[end] = finite ? std::numeric_limits<T>::infinity() : T(0);
            cloud.index[end] = sorted[i].index;
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
            if (i == 0 || leaves == 1 || leaf[l].reach(p) < leaf[l].farthest.distance)
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
