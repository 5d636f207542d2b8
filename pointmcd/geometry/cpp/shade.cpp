// Grey values of pictures by Phong's reflection model; the formula is `_shade` of render.py, in float32 likewise.
#include <algorithm>
#include <vector>

#include "common.h"

// A picture is that of rasterize.cpp: face (V, H, W) and weights (V, H, W, 2), by rotations (V, 3, 3) and lens (4). normals
// (F, C, 3): C = 1 for the whole face, C = 3 for each corner. light (4): strength of the ambient light, of the one at the
// viewer, of the key light and of its reflection; to_key (3), unit, in the camera's axes. Gives grey (V, H, W).
EXPORTED void pointmcd_shade(const float* normals, int64_t per_face, const int32_t* face, const float* weights,
                             const double* rotations, const double* lens, int64_t num_views, int64_t height,
                             int64_t width, const float* light, const double* to_key, int64_t background, uint8_t* grey) {
    const int32_t behind = static_cast<int32_t>(background);
    std::vector<float> away(height * width), key_side(height * width);  // 1 / |ray|, cosine of ray and light
    std::vector<float> xs(width);
    for (int64_t column = 0; column < width; ++column) xs[column] = static_cast<float>((column + 0.5 - lens[2]) / lens[0]);
    for (int64_t row = 0, p = 0; row < height; ++row) {
        const double y = (row + 0.5 - lens[3]) / lens[1];
        for (int64_t column = 0; column < width; ++column, ++p) {
            const Vec ray{xs[column], y, 1};
            away[p] = static_cast<float>(1 / length(ray));
            key_side[p] = static_cast<float>((to_key[0] * ray.x + to_key[1] * ray.y + to_key[2]) / length(ray));
        }
    }
    std::vector<float> xyz(3 * width);
    float *nx = xyz.data(), *ny = nx + width, *nz = ny + width;
    for (int64_t view = 0; view < num_views; ++view) {
        const double* r = rotations + view * 9;
        float key[3], across[3], base[3];
        for (int axis = 0; axis < 3; ++axis) {
            key[axis] = static_cast<float>(to_key[0] * r[axis] + to_key[1] * r[3 + axis] + to_key[2] * r[6 + axis]);
            across[axis] = static_cast<float>(r[axis]);
        }
        for (int64_t row = 0; row < height; ++row, face += width, weights += 2 * width, grey += width) {
            const double y = (row + 0.5 - lens[3]) / lens[1];
            for (int axis = 0; axis < 3; ++axis) base[axis] = static_cast<float>(r[3 + axis] * y + r[6 + axis]);
            for (int64_t column = 0; column < width; ++column) {
                const float* n = normals + std::max(face[column], 0) * per_face * 3;
                const float second = weights[column * 2], third = weights[column * 2 + 1], first = 1 - second - third;
                const float *n2 = per_face == 3 ? n + 3 : n, *n3 = per_face == 3 ? n + 6 : n;
                nx[column] = first * n[0] + second * n2[0] + third * n3[0];
                ny[column] = first * n[1] + second * n2[1] + third * n3[1];
                nz[column] = first * n[2] + second * n2[2] + third * n3[2];
            }
            const float *away_here = &away[row * width], *key_here = &key_side[row * width];
            for (int64_t column = 0; column < width; ++column) {
                const float x = nx[column], y = ny[column], z = nz[column], right = xs[column];
                const float scale = 1 / std::max(std::sqrt(x * x + y * y + z * z), 1e-12f);
                const float facing = -(x * (base[0] + across[0] * right) + y * (base[1] + across[1] * right) +
                                       z * (base[2] + across[2] * right));
                const float head = std::fabs(facing) * scale * away_here[column];
                const float toward = (x * key[0] + y * key[1] + z * key[2]) * scale;
                const float lambert = std::max(facing < 0 ? -toward : toward, 0.0f);
                const float mirrored = std::max(2 * lambert * head + key_here[column], 0.0f);
                const float shine = lambert > 0 ? mirrored : 0.0f;
                const float cube = shine * shine * shine, sixth = cube * cube, twelfth = sixth * sixth;
                const float total = light[0] + light[1] * head + light[2] * lambert + light[3] * (twelfth * twelfth);
                const float value = 255 * std::min(total, 1.0f) + 0.5f;
                grey[column] = static_cast<uint8_t>(face[column] < 0 ? behind : static_cast<int32_t>(value));
            }
        }
    }
}
