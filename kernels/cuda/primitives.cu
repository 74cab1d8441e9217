// Primitives of fastnn.backends.base that CuPy would make of several kernels, each reading and
// writing all of its array; here one. Small and memory-bound, so: coalesced, and that is all.
//
//   the losses, count_correct: one warp a row, WARPS rows a block
//   the losses' gradients, take_rows: one thread an entry

template <typename T>
__global__ void __launch_bounds__(WARPS * WARP, 4) softmax_cross_entropy(
    const T* x, const int64* t, T* losses, T* y, int64 N, int C)
{
    const int lane = threadIdx.x % WARP;
    const int64 n = int64(blockIdx.x) * WARPS + threadIdx.x / WARP;
    if (n >= N) return;
    const SoftmaxCrossEntropy<T> loss(t[n]);
    const T value = loss.template operator()<true>(x + n * C, y + n * C, C, T(N), lane);
    if (lane == 0) losses[n] = value;
}

template <typename T>
__global__ void softmax_cross_entropy_backward(const T* y, const int64* t, T* dx, int64 N, int C)
{
    int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < N * C) dx[i] = (y[i] - T(t[i / C] == i % C)) / T(N);
}

// Where y is null nobody asked for it.
template <typename T, typename Loss>
__global__ void __launch_bounds__(WARPS * WARP, 4) loss_of_outputs(
    const T* x, const T* t, T* losses, T* y, int64 N, int C)
{
    const int lane = threadIdx.x % WARP;
    const int64 n = int64(blockIdx.x) * WARPS + threadIdx.x / WARP;
    if (n >= N) return;
    const Loss loss(Targets<T>{t}, n, C, lane);
    const T value =
        loss.template operator()<true>(x + n * C, y ? y + n * C : nullptr, C, T(N), lane);
    if (lane == 0) losses[n] = value;
}

template <typename T>
__global__ void difference_over_samples(const T* y, const T* t, T* dx, int64 N, int64 size)
{
    int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < size) dx[i] = (y[i] - t[i]) / T(N);
}

// One warp.
template <typename T> __global__ void mean(const T* losses, T* mean, int N)
{
    T sum = mean_over_warp(losses, N, threadIdx.x);
    if (threadIdx.x == 0) *mean = sum;
}

// Is (x, i) before (y, j) in the search for the largest? As numpy.argmax: NaN is the largest of
// all, and of equals the first one is taken.
template <typename T> __device__ bool ahead(T x, int i, T y, int j)
{
    bool x_nan = x != x, y_nan = y != y;
    if (x_nan != y_nan) return x_nan;
    return x_nan || x == y ? i < j : x > y;
}

// Adds to `correct`, with integers, whose sum does not depend on the order.
template <typename T>
__global__ void __launch_bounds__(WARPS * WARP, 4) count_correct(
    const T* scores, const int64* t, unsigned long long* correct, int64 N, int C)
{
    const int lane = threadIdx.x % WARP;
    const int64 n = int64(blockIdx.x) * WARPS + threadIdx.x / WARP;
    if (n >= N) return;
    T best = -infinity<T>();
    int place = C;
    for (int c = lane; c < C; c += WARP) {
        T x = scores[n * C + c];
        if (ahead(x, c, best, place)) best = x, place = c;
    }
    for (int other = WARP / 2; other; other /= 2) {
        T x = __shfl_xor_sync(ALL_LANES, best, other);
        int c = __shfl_xor_sync(ALL_LANES, place, other);
        if (ahead(x, c, best, place)) best = x, place = c;
    }
    if (lane == 0 && place == t[n]) atomicAdd(correct, 1ull);
}

template <typename T, typename Data>
__global__ void take_rows(
    const Data* x, const int64* rows, T scale, T* out, int64 samples, int64 size, int64 width)
{
    int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= size) return;
    int64 row = rows[i / width];
    row += row < 0 ? samples : 0;  // as an index of NumPy
    bool inside = row >= 0 && row < samples;
    out[i] = inside ? T(x[row * width + i % width]) * scale : not_a_number<T>();
}
