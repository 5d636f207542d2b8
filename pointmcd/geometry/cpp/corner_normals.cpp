// Normals of the corners of faces, smooth except across creases: `corner_normals` of corner_normals.py, step by step.
#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "common.h"

namespace {

// Disjoint sets.
struct Groups {
    std::vector<int64_t> parent;
    explicit Groups(int64_t count) : parent(count) { std::iota(parent.begin(), parent.end(), 0); }
    int64_t find(int64_t i) {
        while (parent[i] != i) i = parent[i] = parent[parent[i]];
        return i;
    }
    void join(int64_t a, int64_t b) {
        a = find(a);
        b = find(b);
        if (a != b) parent[std::max(a, b)] = std::min(a, b);
    }
};

inline int64_t following(int64_t half_edge) { return half_edge % 3 == 2 ? half_edge - 2 : half_edge + 1; }

// Half-edge 3 f + i runs from corner 3 f + i to the next corner of face f; those of one edge come together, in order.
std::vector<int64_t> by_edge(const int32_t* corner, int64_t count, int64_t num_vertices) {
    const auto low = [&](int64_t h) { return std::min(corner[h], corner[following(h)]); };
    const auto high = [&](int64_t h) { return std::max(corner[h], corner[following(h)]); };
    std::vector<int64_t> begin(num_vertices + 1), order(count);
    for (int64_t h = 0; h < count; ++h) ++begin[low(h) + 1];
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    std::vector<int64_t> at(begin.begin(), begin.end() - 1);
    for (int64_t h = 0; h < count; ++h) order[at[low(h)]++] = h;
    for (int64_t v = 0; v < num_vertices; ++v)
        std::sort(order.begin() + begin[v], order.begin() + begin[v + 1], [&](int64_t one, int64_t other) {
            return high(one) != high(other) ? high(one) < high(other) : one < other;
        });
    return order;
}

}  // namespace

// vertices (P, 3), faces (F, 3); gives normals (F, 3, 3).
EXPORTED void pointmcd_corner_normals(
    const double* vertices, int64_t num_vertices, const int32_t* faces, int64_t num_faces, double least_cosine,
    int64_t most_faces_at_edge, double* normals) {
    const int64_t count = 3 * num_faces;
    const auto vertex = [&](int64_t corner) {
        const double* p = vertices + faces[corner] * int64_t(3);
        return Vec{p[0], p[1], p[2]};
    };
    std::vector<Vec> own(num_faces), weighted(num_faces), inward(count);
    for (int64_t f = 0; f < num_faces; ++f) {
        const Vec a = vertex(3 * f), b = vertex(3 * f + 1), c = vertex(3 * f + 2), up = cross(b - a, c - a);
        const double twice = length(up);
        own[f] = twice > 0 ? Vec{up.x / twice, up.y / twice, up.z / twice} : Vec{0, 0, 0};
        weighted[f] = (twice / 2) * own[f];
        const Vec along[3] = {b - a, c - b, a - c};
        for (int i = 0; i < 3; ++i) {
            const Vec in = cross(own[f], along[i]);
            const double size = std::max(length(in), std::numeric_limits<double>::min());
            inward[3 * f + i] = {in.x / size, in.y / size, in.z / size};
        }
    }
    const std::vector<int64_t> order = by_edge(faces, count, num_vertices);
    Groups groups(2 * count);
    for (int64_t i = 0; i < count; ++i) {
        const int64_t one = order[i], start = faces[one], end = faces[following(one)];
        for (int64_t j = i + 1; j < std::min(i + most_faces_at_edge, count); ++j) {
            const int64_t other = order[j], theirs = faces[other], last = faces[following(other)];
            const bool same_way = start == theirs && end == last;
            if (!same_way && !(start == last && end == theirs)) break;
            if (!(-dot(inward[one], inward[other]) > least_cosine)) continue;
            const bool flip = dot(own[one / 3], own[other / 3]) < 0;
            const int64_t near[2] = {one, following(one)};
            const int64_t far[2] = {same_way ? other : following(other), same_way ? following(other) : other};
            for (int k = 0; k < 2; ++k) {
                groups.join(near[k], far[k] + (flip ? count : 0));
                groups.join(near[k] + count, far[k] + (flip ? 0 : count));
            }
        }
    }
    std::vector<Vec> total(2 * count, Vec{0, 0, 0});
    for (int64_t i = 0; i < 2 * count; ++i) {
        const Vec& w = weighted[i % count / 3];
        Vec& sum = total[groups.find(i)];
        sum = i < count ? Vec{sum.x + w.x, sum.y + w.y, sum.z + w.z} : sum - w;
    }
    for (int64_t i = 0; i < count; ++i) {
        const Vec& mean = total[groups.find(i)];
        const double size = length(mean);
        // On a surface with one side only (a Moebius strip) the two copies meet and cancel.
        const bool cancelled = size <= 1e-6 * length(weighted[i / 3]);
        const Vec out = cancelled ? own[i / 3] : Vec{mean.x / size, mean.y / size, mean.z / size};
        normals[3 * i] = out.x;
        normals[3 * i + 1] = out.y;
        normals[3 * i + 2] = out.z;
    }
}
