// What every kernel shares: SIMD vectors of the widest kind that this build may use, threads, scratch memory.
//
// Each .cpp is compiled once for every instruction set (setup.py), each time into a library of its own; native.py loads
// the one for the processor at hand. Built without contraction, so that a * b + c rounds as the plain formula does; where
// a fused multiply-add may be used, fused() and fma() of simd.h say so. No sum depends on the number of threads.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
constexpr int REGISTERS = 32;
#elif defined(__AVX__)
constexpr int VECTOR_BYTES = 32;
constexpr int REGISTERS = 16;
#else
constexpr int VECTOR_BYTES = 16;
constexpr int REGISTERS = 16;
#endif

template <class T> struct Simd;
template <> struct Simd<float> {
    typedef float V __attribute__((vector_size(VECTOR_BYTES)));
    typedef int32_t I __attribute__((vector_size(VECTOR_BYTES)));
    typedef int32_t Index;
};
template <> struct Simd<double> {
    typedef double V __attribute__((vector_size(VECTOR_BYTES)));
    typedef int64_t I __attribute__((vector_size(VECTOR_BYTES)));
    typedef int64_t Index;
};
template <class T> using Vec = typename Simd<T>::V;
template <class T> using IndexVec = typename Simd<T>::I;  // comparisons give this too: -1 true, 0 false
template <class T> using Index = typename Simd<T>::Index;
template <class T> constexpr int LANES = VECTOR_BYTES / static_cast<int>(sizeof(T));
constexpr int TILE = 4;  // vectors of channels (or points) that a kernel holds in registers at once

template <class V, class T> inline V load(const T* from) {
    V v;
    std::memcpy(&v, from, sizeof(V));
    return v;
}
template <class V, class T> inline void store(T* to, V v) { std::memcpy(to, &v, sizeof(V)); }
template <class T> inline Vec<T> splat(T x) { return x - Vec<T>{}; }
template <class T> inline IndexVec<T> splat_index(int64_t i) { return static_cast<Index<T>>(i) - IndexVec<T>{}; }

// a * b + c, rounded once where the processor can.
template <class T> inline T fused(T a, T b, T c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    return sizeof(T) == 4 ? static_cast<T>(__builtin_fmaf(a, b, c)) : static_cast<T>(__builtin_fma(a, b, c));
#else
    return a * b + c;
#endif
}

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// body(i) for i in [0, n). Tasks share nothing that is written, so that the schedule cannot change a result.
template <class F> void parallel_for(int64_t n, int64_t threads, F body) {
    if (threads <= 1 || n <= 1) {
        for (int64_t i = 0; i < n; ++i) body(i);
        return;
    }
#pragma omp parallel for schedule(dynamic, 1) num_threads(static_cast<int>(std::min(threads, n)))
    for (int64_t i = 0; i < n; ++i) body(i);
}

// Aligned memory that a thread keeps, by slot: a fresh allocation of this size would be paid in page faults each time.
template <class T> T* scratch(int slot, int64_t count) {
    struct Block {
        void* data = nullptr;
        size_t bytes = 0;
        ~Block() { std::free(data); }
    };
    thread_local Block blocks[8];
    Block& block = blocks[slot];
    const size_t bytes = round_up(static_cast<int64_t>(count * sizeof(T)) + 1, 4096);
    if (block.bytes < bytes) {
        std::free(block.data);
        block.data = std::aligned_alloc(64, bytes);
        block.bytes = bytes;
    }
    return static_cast<T*>(block.data);
}

// The maximum that every backend takes: of values of which one is NaN it is NaN, of equal ones the first wins.
template <class T> inline bool beats(T x, T best) { return x > best || (x != x && best == best); }

// Copies n numbers, and zeros up to `padded`, a multiple of the lanes; `odd` becomes NaN where one of them is not finite.
template <class T> inline Vec<T> copy_row(const T* from, T* to, int64_t n, int64_t padded, Vec<T> odd) {
    constexpr int L = LANES<T>;
    int64_t i = 0;
    for (; i + L <= n; i += L) {
        const Vec<T> x = load<Vec<T>>(from + i);
        store(to + i, x);
        odd += x - x;
    }
    if (i < n) {
        T rest[L] = {};
        std::memcpy(rest, from + i, (n - i) * sizeof(T));
        const Vec<T> x = load<Vec<T>>(rest);
        store(to + i, x);
        odd += x - x;
        i += L;
    }
    std::fill(to + i, to + padded, T(0));
    return odd;
}
template <class T> inline bool all_zero(const Vec<T>& x) {
    bool zero = true;
    for (int i = 0; i < LANES<T>; ++i) zero &= x[i] == 0;
    return zero;
}

// A kernel template becomes two pointers that ctypes finds by name.
#define EXPORT(name)                                                                     \
    extern "C" {                                                                         \
    __attribute__((visibility("default"))) auto* pointmcd_##name##_f32 = &name<float>;   \
    __attribute__((visibility("default"))) auto* pointmcd_##name##_f64 = &name<double>;  \
    }
