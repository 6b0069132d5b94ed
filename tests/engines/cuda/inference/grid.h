// CUDA's execution model on the CPU. Kernels that meet at barriers get a thread for each of a block's threads; the
// others are looped over.
#include <barrier>
#include <cmath>
#include <memory>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __shared__ static

struct Three { int x = 0, y = 0, z = 0; };
static thread_local Three threadIdx, blockIdx;
static Three blockDim, gridDim;
static std::unique_ptr<std::barrier<>> block_barrier;

inline void __syncthreads() { block_barrier->arrive_and_wait(); }
inline int atomicAdd(int* counter, int more) { return __atomic_fetch_add(counter, more, __ATOMIC_RELAXED); }

template <typename Argument>
void run(void (*kernel)(Argument), const void* argument, const int* grid, const int* block, bool with_threads) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    int size = block[0] * block[1] * block[2];
    for (int number = 0; number < grid[0] * grid[1] * grid[2]; number++) {
        auto thread = [&](int me) {
            threadIdx = {me % block[0], me / block[0] % block[1], me / block[0] / block[1]};
            blockIdx = {number % grid[0], number / grid[0] % grid[1], number / grid[0] / grid[1]};
            kernel(*(const Argument*)argument);
        };
        if (!with_threads) {
            for (int me = 0; me < size; me++) thread(me);
            continue;
        }
        block_barrier = std::make_unique<std::barrier<>>(size);
        std::vector<std::thread> running;
        for (int me = 0; me < size; me++) running.emplace_back(thread, me);
        for (auto& one : running) one.join();
    }
}

template <typename Argument>
unsigned long long size_of(void (*)(Argument)) { return sizeof(Argument); }

#define RUNNER(name, with_threads)                                                                        \
    extern "C" void run_##name(const void* argument, const int* grid, const int* block) {                 \
        run(name, argument, grid, block, with_threads);                                                   \
    }                                                                                                     \
    extern "C" unsigned long long size_##name() { return size_of(name); }
