// Numbers that are stored in bfloat16 and computed with in float32. A kernel says S for what is stored, Real<S> for the rest.
#pragma once
#include "common.h"

struct Bfloat16 {
    uint16_t bits;
};

inline double value(double x) { return x; }
inline float value(float x) { return x; }
inline float value(Bfloat16 x) {
    const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
    float v;
    std::memcpy(&v, &bits, sizeof(v));
    return v;
}
template <class S> using Real = decltype(value(S()));

inline void put(double* to, double v) { *to = v; }
inline void put(float* to, float v) { *to = v; }
inline void put(Bfloat16* to, float v) {  // to the nearest, of two the even one
    uint32_t bits;
    std::memcpy(&bits, &v, sizeof(bits));
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    to->bits = static_cast<uint16_t>(v == v ? rounded : 0x7fc0);
}

// The same for as many numbers as there are lanes.
inline Vec<double> load_values(const double* from) { return load<Vec<double>>(from); }
inline Vec<float> load_values(const float* from) { return load<Vec<float>>(from); }
inline void put_values(double* to, Vec<double> x) { store(to, x); }
inline void put_values(float* to, Vec<float> x) { store(to, x); }

typedef uint32_t Bits32 __attribute__((vector_size(VECTOR_BYTES)));
typedef uint16_t Bits16 __attribute__((vector_size(VECTOR_BYTES / 2)));
inline Vec<float> load_values(const Bfloat16* from) {
    return (Vec<float>)(__builtin_convertvector(load<Bits16>(from), Bits32) << 16);
}
inline void put_values(Bfloat16* to, Vec<float> x) {
    const Bits32 bits = (Bits32)x, rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    store(to, __builtin_convertvector(x == x ? rounded : Bits32{} + 0x7fc0, Bits16));
}

// For n numbers, at most as many; what is beyond them is read as zero.
template <class S> inline Vec<Real<S>> load_values(const S* from, int64_t n) {
    constexpr int L = LANES<Real<S>>;
    if (n == L) return load_values(from);
    S some[L] = {};
    std::memcpy(some, from, n * sizeof(S));
    return load_values(some);
}
template <class S> inline void put_values(S* to, Vec<Real<S>> x, int64_t n) {
    constexpr int L = LANES<Real<S>>;
    if (n == L) return put_values(to, x);
    S all[L];
    put_values(all, x);
    std::memcpy(to, all, n * sizeof(S));
}

// Beside EXPORT: the pointer to the kernel of rows in bfloat16.
#define EXPORT_BFLOAT16(name)                                                               \
    extern "C" {                                                                            \
    __attribute__((visibility("default"))) auto* pointmcd_##name##_bf16 = &name<Bfloat16>;  \
    }
