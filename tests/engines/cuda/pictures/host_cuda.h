// What CUDA C++ has and g++ has not: enough to run kernels without shared memory on a CPU, thread by thread.
#include <math.h>

#include <tuple>
#include <utility>

#define __device__
#define __global__
#define __forceinline__ inline

struct Dim {
    int x, y, z;
};
static thread_local Dim blockIdx, blockDim, threadIdx, gridDim;

// Arguments come as addresses, as cuLaunchKernel takes them.
template <typename... A, size_t... I>
static void call(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*(std::remove_const_t<A>*)arguments[I]...);
}

template <typename... A>
static void run(void (*kernel)(A...), const int* grid, const int* block, void** arguments) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    for (int z = 0; z < grid[2]; z++)
        for (int y = 0; y < grid[1]; y++)
            for (int x = 0; x < grid[0]; x++) {
                blockIdx = {x, y, z};
                for (int k = 0; k < block[2]; k++)
                    for (int j = 0; j < block[1]; j++)
                        for (int i = 0; i < block[0]; i++) {
                            threadIdx = {i, j, k};
                            call(kernel, arguments, std::index_sequence_for<A...>());
                        }
            }
}

template <typename A>
static size_t size_of(void (*)(A)) {
    return sizeof(A);
}

#define RUNNER(name)                                                   \
    extern "C" size_t size_##name() { return size_of(name); }          \
    extern "C" void run_##name(const int* grid, const int* block, void** arguments) { run(name, grid, block, arguments); }
