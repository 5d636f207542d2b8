// Runs CUDA kernels on the host: each thread of a block is a fiber that goes from barrier to barrier.
//
// A source file of kernels is compiled by g++ behind this header; KERNEL(name) then makes a function that takes the grid,
// the block and an array of pointers to the arguments, as cuLaunchKernel does. Grids and blocks have one dimension. Threads
// run in rising or falling order: a kernel whose barriers are all in place gives the same result for both.
#include <ucontext.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(...)
using std::fma;
using std::max;
using std::min;

struct Dimension {
    unsigned x;
};
static Dimension threadIdx, blockIdx, blockDim, gridDim;

inline int atomicAdd(int* to, int value) {
    const int before = *to;
    *to += value;
    return before;
}

// The 16-bit type whose arithmetic is float's upper half, rounded to nearest even.
struct __nv_bfloat16 {
    uint16_t bits;
    __nv_bfloat16() = default;
    __nv_bfloat16(float x) {
        uint32_t wide;
        std::memcpy(&wide, &x, 4);
        bits = x != x ? 0x7fff : static_cast<uint16_t>((wide + 0x7fff + (wide >> 16 & 1)) >> 16);
    }
    operator float() const {
        const uint32_t wide = static_cast<uint32_t>(bits) << 16;
        float x;
        std::memcpy(&x, &wide, 4);
        return x;
    }
};

namespace emulate {

constexpr size_t STACK = 1 << 16;

struct Fiber {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(STACK);
    bool done;
};

static std::vector<Fiber> fibers;
static ucontext_t scheduler;
static Fiber* running;
static void (*body)(void**);
static void** arguments;

inline void enter() {
    body(arguments);
    running->done = true;
    swapcontext(&running->context, &scheduler);
}

// Every thread runs to its next barrier; a block whose threads have not all ended then must all stand at one.
inline void run_block(bool falling) {
    const unsigned size = blockDim.x;
    for (unsigned t = 0; t < size; ++t) {
        Fiber& fiber = fibers[t];
        fiber.done = false;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = STACK;
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, enter, 0);
    }
    for (unsigned ended = 0; ended < size;) {
        ended = 0;
        for (unsigned i = 0; i < size; ++i) {
            threadIdx.x = falling ? size - 1 - i : i;
            running = &fibers[threadIdx.x];
            if (!running->done) swapcontext(&scheduler, &running->context);
            ended += running->done;
        }
        if (ended > 0 && ended < size) {
            std::fprintf(stderr, "block %u: %u of %u threads ended, the others wait at a barrier\n", blockIdx.x, ended, size);
            std::abort();
        }
    }
}

template <class... A, size_t... I> void call(void (*kernel)(A...), void** args, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_cv_t<std::remove_reference_t<A>>*>(args[I])...);
}
template <class... A> void call(void (*kernel)(A...), void** args) { call(kernel, args, std::index_sequence_for<A...>{}); }

inline void launch(void (*kernel)(void**), int64_t grid, int64_t block, int falling, void** args) {
    body = kernel;
    arguments = args;
    gridDim.x = static_cast<unsigned>(grid);
    blockDim.x = static_cast<unsigned>(block);
    if (fibers.size() < blockDim.x) fibers.resize(blockDim.x);
    for (unsigned i = 0; i < gridDim.x; ++i) {
        blockIdx.x = falling ? gridDim.x - 1 - i : i;
        run_block(falling);
    }
}

}  // namespace emulate

inline void __syncthreads() { swapcontext(&emulate::running->context, &emulate::scheduler); }

#define KERNEL(name)                                                                                  \
    extern "C" void emulate_##name(int64_t grid, int64_t block, int falling, void** args) {           \
        emulate::launch([](void** a) { emulate::call(name, a); }, grid, block, falling, args);        \
    }
