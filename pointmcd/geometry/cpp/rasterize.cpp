// The nearest face behind each pixel centre, by a z-buffer in double precision.
//
// With the pixel as a ray d = (u, v, 1) and the corners of a face as vectors a, b, c, the determinants of (d, b, c), (d,
// c, a) and (d, a, b) are the barycentric weights of the hit, times their sum; all of them have one sign inside the face.
// Two faces evaluate an edge that they share to the same number with opposite signs (the sources are compiled without
// contraction), so that no pixel falls through between them; one on the edge goes to the nearer face, then to the first.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "common.h"

namespace {

#if defined(__AVX__)
constexpr int LANES = 4;
#else
constexpr int LANES = 2;
#endif
typedef double Doubles __attribute__((vector_size(LANES * 8)));
typedef int64_t Mask __attribute__((vector_size(LANES * 8)));

constexpr double SLACK = 1e-6;  // of a face's rectangle, in pixels: covers the rounding of the projection

inline double least(double a, double b, double c) { return std::min(a, std::min(b, c)); }
inline double most(double a, double b, double c) { return std::max(a, std::max(b, c)); }

// The pixels of 0 .. count - 1 between two numbers, or none (first > last).
inline void pixels_between(double low, double high, int64_t count, int64_t& first, int64_t& last) {
    const double end = static_cast<double>(count);
    first = count + 1 - static_cast<int64_t>(end + 1 - std::min(std::max(low - SLACK, 0.0), end));
    last = static_cast<int64_t>(std::min(std::max(high + SLACK, -1.0), end - 1) + 1) - 1;
}

// What is drawn so far of a picture of W columns: for each pixel the nearest depth, its face, and the weights of that
// face's second and third corner. Rows are longer by what a vector may reach beyond the last column.
struct Picture {
    int64_t stride;
    std::vector<double> depth, second, third;
    std::vector<int64_t> face;
    double middle_x = 0, middle_y = 0;  // the principal point, where the centre of pixel 0 is at 0

    Picture(int64_t height, int64_t width)
        : stride(width + LANES), depth(height * stride), second(depth), third(depth), face(height * stride) {}
};

// Draws face number `index`, with the corners a, b and c, into the given rows and columns.
inline void draw(Picture& to, int64_t index, const Vec& a, const Vec& b, const Vec& c, int64_t top, int64_t bottom,
                 int64_t left, int64_t right) {
    Vec edge0 = cross(b, c), edge1 = cross(c, a), edge2 = cross(a, b);
    double volume = dot(a, edge0);
    if (volume < 0) {
        volume = -volume;
        edge0 = {-edge0.x, -edge0.y, -edge0.z};
        edge1 = {-edge1.x, -edge1.y, -edge1.z};
        edge2 = {-edge2.x, -edge2.y, -edge2.z};
    }
    if (!(volume > 0)) return;  // seen edge on
    const Doubles near = least(a.z, b.z, c.z) - Doubles{}, far = most(a.z, b.z, c.z) - Doubles{};
    const Mask number = index - Mask{};
    Doubles lane;
    for (int i = 0; i < LANES; ++i) lane[i] = i;
    for (int64_t row = top; row <= bottom; ++row) {
        const double v = row - to.middle_y;
        const double row0 = edge0.y * v + edge0.z, row1 = edge1.y * v + edge1.z, row2 = edge2.y * v + edge2.z;
        for (int64_t column = left; column <= right; column += LANES) {
            const Doubles u = lane + (column - to.middle_x);
            const Doubles e0 = edge0.x * u + row0, e1 = edge1.x * u + row1, e2 = edge2.x * u + row2;
            const int64_t at = row * to.stride + column;
            const Doubles before = load<Doubles>(&to.depth[at]);
            const Doubles share = 1 / (e0 + e1 + e2);
            Doubles depth = volume * share;
            depth = depth > near ? depth : near;
            depth = depth < far ? depth : far;
            const Mask nearer = (e0 >= 0) & (e1 >= 0) & (e2 >= 0) & (depth < before);
            store(&to.depth[at], nearer ? depth : before);
            store(&to.face[at], nearer ? number : load<Mask>(&to.face[at]));
            store(&to.second[at], nearer ? e1 * share : load<Doubles>(&to.second[at]));
            store(&to.third[at], nearer ? e2 * share : load<Doubles>(&to.third[at]));
        }
    }
}

}  // namespace

// vertices (P, 3) in the world, faces (F, 3), cameras (V, 3, 4), lens (V, 4): focal lengths and principal point in pixels.
// Gives face (V, H, W), depth (V, H, W) and the weights of the second and third corner (V, H, W, 2); -1, inf and 0 where
// there is nothing. What has a corner behind the camera is cut there.
EXPORTED void pointmcd_rasterize(const double* vertices, int64_t num_vertices, const int32_t* faces, int64_t num_faces,
                                 const double* cameras, const double* lens, int64_t num_views, int64_t height,
                                 int64_t width, int32_t* face, float* depth, float* weights) {
    std::vector<Vec> corners(num_vertices);
    std::vector<double> columns(num_vertices), rows(num_vertices);
    Picture to(height, width);
    for (int64_t view = 0; view < num_views; ++view, cameras += 12, lens += 4) {
        const double* m = cameras;
        to.middle_x = lens[2] - 0.5;
        to.middle_y = lens[3] - 0.5;
        for (int64_t i = 0; i < num_vertices; ++i) {
            const double* p = vertices + i * 3;
            const double x = m[0] * p[0] + m[1] * p[1] + m[2] * p[2] + m[3];
            const double y = m[4] * p[0] + m[5] * p[1] + m[6] * p[2] + m[7];
            const double z = m[8] * p[0] + m[9] * p[1] + m[10] * p[2] + m[11];
            corners[i] = {lens[0] * x, lens[1] * y, z};
            columns[i] = corners[i].x / z + to.middle_x;
            rows[i] = corners[i].y / z + to.middle_y;
        }
        std::fill(to.depth.begin(), to.depth.end(), std::numeric_limits<double>::infinity());
        std::fill(to.face.begin(), to.face.end(), -1);
        for (int64_t f = 0; f < num_faces; ++f) {
            const int32_t i = faces[f * 3], j = faces[f * 3 + 1], k = faces[f * 3 + 2];
            const Vec &a = corners[i], &b = corners[j], &c = corners[k];
            int64_t left = 0, right = width - 1, top = 0, bottom = height - 1;
            if (least(a.z, b.z, c.z) > 0) {
                pixels_between(least(columns[i], columns[j], columns[k]), most(columns[i], columns[j], columns[k]), width,
                               left, right);
                pixels_between(least(rows[i], rows[j], rows[k]), most(rows[i], rows[j], rows[k]), height, top, bottom);
            } else if (most(a.z, b.z, c.z) <= 0) {
                continue;
            }
            if (left <= right && top <= bottom) draw(to, f, a, b, c, top, bottom, left, right);
        }
        for (int64_t row = 0; row < height; ++row)
            for (int64_t at = row * to.stride; at < row * to.stride + width; ++at, weights += 2) {
                *depth++ = static_cast<float>(to.depth[at]);
                *face++ = static_cast<int32_t>(to.face[at]);
                weights[0] = to.face[at] < 0 ? 0 : static_cast<float>(to.second[at]);
                weights[1] = to.face[at] < 0 ? 0 : static_cast<float>(to.third[at]);
            }
    }
}
