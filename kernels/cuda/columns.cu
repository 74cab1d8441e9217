// What stands beside a product of cuBLAS on the way back.
//
//   column_sums    the bias gradient: sums of (N, M) over the samples. A block does WARP columns,
//                  its warps share the samples, so that 32 threads read 32 neighbours
//   through_relu   what a product gave for the gradient, taken back through ReLU; in place
//
// A thread adds N / COLUMN_WARPS numbers of a column with compensation (Kahan, 1965); the sums of
// the warps are added in order, whoever is first.

template <typename T>
__global__ void __launch_bounds__(COLUMN_WARPS * WARP) column_sums(
    const T* x, T* sums, int64 N, int64 M)
{
    __shared__ T parts[COLUMN_WARPS][WARP];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int64 m = int64(blockIdx.x) * WARP + lane, end = m < M ? N : 0;
    T sum = 0, lost = 0;
#pragma unroll 4
    for (int64 n = warp; n < end; n += COLUMN_WARPS) {
        T term = x[n * M + m] - lost, more = sum + term;
        lost = (more - sum) - term;
        sum = more;
    }
    parts[warp][lane] = sum;
    __syncthreads();
    if (warp || m >= M) return;
    T total = 0;
    for (int other = 0; other < COLUMN_WARPS; other++) total += parts[other][lane];
    sums[m] = total;
}

template <typename T> __global__ void through_relu(const T* x, T* dx, int64 size)
{
    int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < size) dx[i] = relu_backward(x[i], dx[i]);
}
