// The norm of all gradients together, and the factor by which they are cut to another norm.
//
//   squared_sum  NORM_THREADS a block: each adds its share of the squares, in float64
//   clip_factor  one warp adds what the blocks have, and makes the factor of it
//
// Which thread adds which numbers, and in which order, depends on sizes alone.

template <typename T>
__global__ void __launch_bounds__(NORM_THREADS) squared_sum(const T* g, double* parts, int64 size)
{
    __shared__ double of_warps[NORM_THREADS / WARP];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    double sum = 0;
    for (int64 i = int64(blockIdx.x) * NORM_THREADS + threadIdx.x; i < size;
         i += int64(gridDim.x) * NORM_THREADS)
        sum += double(g[i]) * double(g[i]);
    sum = sum_over_warp(sum);
    if (lane == 0) of_warps[warp] = sum;
    __syncthreads();
    if (threadIdx.x) return;
    double total = 0;
    for (int other = 0; other < NORM_THREADS / WARP; other++) total += of_warps[other];
    parts[blockIdx.x] = total;
}

// The norm to keep to is read from the device, if it is there.
template <typename T>
__global__ void clip_factor(
    const double* parts, int count, double clip_norm, const T* clip_norm_on_device, double epsilon,
    T* factor)
{
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += WARP) sum += parts[i];
    sum = sum_over_warp(sum);
    if (threadIdx.x) return;
    const double most = clip_norm_on_device ? *clip_norm_on_device : clip_norm;
    *factor = T(clip_factor_of(sum, most, epsilon));
}
