// Vectors in space, and how a function is exported.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

struct Vec {
    double x, y, z;
};
inline Vec operator-(const Vec& a, const Vec& b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
inline Vec operator*(double s, const Vec& a) { return {s * a.x, s * a.y, s * a.z}; }
inline Vec cross(const Vec& a, const Vec& b) {
    return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
inline double dot(const Vec& a, const Vec& b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
inline double length(const Vec& a) { return std::sqrt(dot(a, a)); }

template <class V, class T> inline V load(const T* from) {
    V v;
    std::memcpy(&v, from, sizeof(V));
    return v;
}
template <class V, class T> inline void store(T* to, V v) { std::memcpy(to, &v, sizeof(V)); }

#define EXPORTED extern "C" __attribute__((visibility("default")))
