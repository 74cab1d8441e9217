// Batch normalisation of (N, D), by columns: a block does WARP of them, its warps share the samples.
//
//   batch_norm           pass 1: the mean; 2: what is left of it, and the variance; 3: the result
//   batch_norm_backward  pass 1: dgamma and dbeta; 2: dx
//   batch_norm_evaluation, moving_average: one thread an entry
//
// A thread has N / COLUMN_WARPS samples of a column, and adds them with compensation; the sums of
// the warps are added in order, whoever is first.

// A sum to which what is lost when one is added is added with the next (Kahan, 1965).
template <typename T> struct Sum {
    T sum = 0, lost = 0;
    __device__ void add(T x) {
        T term = x - lost, more = sum + term;
        lost = (more - sum) - term;
        sum = more;
    }
};

// The sum over the warps of a block of what each thread has, for each lane. All threads call it.
template <typename T> __device__ T sum_over_warps(T mine, T (*parts)[WARP], int warp, int lane)
{
    __syncthreads();  // what the parts held before has been read
    parts[warp][lane] = mine;
    __syncthreads();
    Sum<T> total;
    for (int other = 0; other < COLUMN_WARPS; other++) total.add(parts[other][lane]);
    return total.sum;
}

template <typename T>
__global__ void __launch_bounds__(COLUMN_WARPS * WARP) batch_norm(
    const T* x, const T* gamma, const T* beta, T epsilon, T* y, T* xn, T* std, T* mean, T* var,
    int64 N, int64 D)
{
    __shared__ T parts[COLUMN_WARPS][WARP];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int64 d = int64(blockIdx.x) * WARP + lane;
    const bool inside = d < D;
    const int64 end = inside ? N : 0;
    Sum<T> sum, of_rest, of_squares;
    for (int64 n = warp; n < end; n += COLUMN_WARPS) sum.add(x[n * D + d]);
    const T about = sum_over_warps(sum.sum, parts, warp, lane) / T(N);
    for (int64 n = warp; n < end; n += COLUMN_WARPS) {
        const T xc = x[n * D + d] - about;
        of_rest.add(xc);
        of_squares.add(xc * xc);
    }
    const T rest = sum_over_warps(of_rest.sum, parts, warp, lane) / T(N);
    T square = sum_over_warps(of_squares.sum, parts, warp, lane) / T(N) - rest * rest;
    square = square < T(0) ? T(0) : square;
    const T deviation = sqrt(square + epsilon);
    if (!inside) return;
    for (int64 n = warp; n < N; n += COLUMN_WARPS) {
        const T normal = (x[n * D + d] - about - rest) / deviation;
        xn[n * D + d] = normal;
        y[n * D + d] = gamma[d] * normal + beta[d];
    }
    if (warp == 0) std[d] = deviation, mean[d] = about + rest, var[d] = square;
}

template <typename T>
__global__ void __launch_bounds__(COLUMN_WARPS * WARP) batch_norm_backward(
    const T* dout, const T* gamma, const T* xn, const T* std, T* dx, T* dgamma, T* dbeta,
    int64 N, int64 D)
{
    __shared__ T parts[COLUMN_WARPS][WARP];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int64 d = int64(blockIdx.x) * WARP + lane;
    const bool inside = d < D;
    const int64 end = inside ? N : 0;
    Sum<T> of_dgamma, of_dbeta;
    for (int64 n = warp; n < end; n += COLUMN_WARPS) {
        of_dgamma.add(dout[n * D + d] * xn[n * D + d]);
        of_dbeta.add(dout[n * D + d]);
    }
    const T along = sum_over_warps(of_dgamma.sum, parts, warp, lane);
    const T all = sum_over_warps(of_dbeta.sum, parts, warp, lane);
    if (!inside) return;
    const T scale = gamma[d] / std[d];
    for (int64 n = warp; n < N; n += COLUMN_WARPS) {
        const int64 i = n * D + d;
        dx[i] = scale * (dout[i] - all / T(N) - xn[i] * (along / T(N)));
    }
    if (warp == 0) dgamma[d] = along, dbeta[d] = all;
}

template <typename T>
__global__ void batch_norm_evaluation(
    const T* x, const T* gamma, const T* beta, const T* mean, const T* var, T epsilon, T* y,
    int64 size, int64 D)
{
    const int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= size) return;
    const int64 d = i % D;
    y[i] = gamma[d] * ((x[i] - mean[d]) / sqrt(var[d] + epsilon)) + beta[d];
}

template <typename T>
__global__ void moving_average(T* average, const T* value, T momentum, T rest, int64 size)
{
    const int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < size) average[i] = momentum * average[i] + rest * value[i];
}
