// Batch normalisation of (N, D), by columns: a block does NORM_COLUMNS of them, one sector of float,
// and NORM_ROWS threads share the samples of a column.
//
//   batch_norm           pass 1: x itself, if it comes as the parts of a product (splits, N, D), with
//                        their bias; 2: the mean; 3: what is left of it, and the variance; 4: the
//                        result, through what stands behind; the averages follow
//   batch_norm_backward  pass 1: dout, back through what stands behind, and dgamma and dbeta; 2: dx
//   batch_norm_evaluation, moving_average: one thread an entry
//
// A thread adds its samples with compensation; the sums of the warps are added in order, whoever is
// first. It reads back what it has written itself, x from where xn will be, so memory is all it takes.

constexpr int NORM_ROWS = NORM_THREADS / NORM_COLUMNS;

// A sum to which what is lost when one is added is added with the next (Kahan, 1965).
template <typename T> struct Sum {
    T sum = 0, lost = 0;
    __device__ void add(T x) {
        T term = x - lost, more = sum + term;
        lost = (more - sum) - term;
        sum = more;
    }
};

// The sum over the threads of a column of what each has. All threads of the block call it.
template <typename T> __device__ T sum_over_column(T mine)
{
    __shared__ T parts[NORM_THREADS / WARP][NORM_COLUMNS];
    const int lane = threadIdx.x % WARP, column = lane % NORM_COLUMNS;
    for (int other = WARP / 2; other >= NORM_COLUMNS; other /= 2)
        mine += __shfl_xor_sync(ALL_LANES, mine, other);
    __syncthreads();  // what the parts held before has been read
    if (lane < NORM_COLUMNS) parts[threadIdx.x / WARP][column] = mine;
    __syncthreads();
    Sum<T> total;
    for (int warp = 0; warp < NORM_THREADS / WARP; warp++) total.add(parts[warp][column]);
    return total.sum;
}

// `b`, `kept` and the averages may be null: then there is no bias, the way back reads y, and nobody
// follows mean and variance.
template <typename T, typename Behind>
__global__ void __launch_bounds__(NORM_THREADS) batch_norm(
    const T* x, int splits, const T* b, const T* gamma, const T* beta, T epsilon, Between<T> between,
    T* y, T* kept, T* xn, T* std, T* mean, T* var,
    T* running_mean, T* running_var, T momentum, T rest_of_momentum, int64 N, int64 D)
{
    constexpr int AT_ONCE = 4;
    const int row = threadIdx.x / NORM_COLUMNS;
    const int64 d = int64(blockIdx.x) * NORM_COLUMNS + threadIdx.x % NORM_COLUMNS;
    const bool inside = d < D;
    const int64 end = inside ? N : 0;
    const T bias = b && inside ? b[d] : T(0);
    Sum<T> sum, of_rest, of_squares;
    for (int64 n0 = row; n0 < end; n0 += AT_ONCE * NORM_ROWS) {
        int64 place[AT_ONCE];
        T whole[AT_ONCE];
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++) {
            const int64 n = n0 + j * NORM_ROWS;
            place[j] = n < N ? n * D + d : -1;
        }
        sums_of_parts<4>(x, splits, N * D, place, whole);
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++) {
            if (place[j] < 0) continue;
            sum.add(whole[j] + bias);
            xn[place[j]] = whole[j] + bias;
        }
    }
    const T about = sum_over_column(sum.sum) / T(N);
#pragma unroll 4
    for (int64 n = row; n < end; n += NORM_ROWS) {
        const T xc = xn[n * D + d] - about;
        of_rest.add(xc);
        of_squares.add(xc * xc);
    }
    const T rest = sum_over_column(of_rest.sum) / T(N);
    T square = sum_over_column(of_squares.sum) / T(N) - rest * rest;
    square = square < T(0) ? T(0) : square;
    const T deviation = sqrt(square + epsilon);
    if (!inside) return;
    const Behind behind(between);
    const T scale = gamma[d], shift = beta[d];
    for (int64 n = row; n < N; n += NORM_ROWS) {
        const int64 i = n * D + d;
        const T normal = (xn[i] - about - rest) / deviation;
        const bool is_kept = behind.is_kept(int(n), int(d), int(D));
        const Passed<T> passed = pass(behind, scale * normal + shift, is_kept);
        xn[i] = normal;
        y[i] = passed.out;
        if constexpr (Behind::KEEPS_INPUT) kept[i] = passed.kept;
    }
    if (row) return;
    std[d] = deviation, mean[d] = about + rest, var[d] = square;
    if (!running_mean) return;
    running_mean[d] = momentum * running_mean[d] + rest_of_momentum * (about + rest);
    running_var[d] = momentum * running_var[d] + rest_of_momentum * square;
}

// `dx` may be the same memory as dout.
template <typename T, typename Behind>
__global__ void __launch_bounds__(NORM_THREADS) batch_norm_backward(
    const T* dout, const T* kept, Between<T> between, const T* gamma, const T* xn, const T* std,
    T* dx, T* dgamma, T* dbeta, int64 N, int64 D)
{
    const int row = threadIdx.x / NORM_COLUMNS;
    const int64 d = int64(blockIdx.x) * NORM_COLUMNS + threadIdx.x % NORM_COLUMNS;
    const bool inside = d < D;
    const int64 end = inside ? N : 0;
    const Behind behind(between);
    Sum<T> of_dgamma, of_dbeta;
    constexpr int AT_ONCE = Behind::KEEPS_INPUT ? 1 : 4;  // for want of registers
#pragma unroll AT_ONCE
    for (int64 n = row; n < end; n += NORM_ROWS) {
        const int64 i = n * D + d;
        const T dy = behind.backward(kept[i], dout[i]);
        of_dgamma.add(dy * xn[i]);
        of_dbeta.add(dy);
        dx[i] = dy;
    }
    const T along = sum_over_column(of_dgamma.sum), all = sum_over_column(of_dbeta.sum);
    if (!inside) return;
    const T scale = gamma[d] / std[d];
#pragma unroll 4
    for (int64 n = row; n < N; n += NORM_ROWS) {
        const int64 i = n * D + d;
        dx[i] = scale * (dx[i] - all / T(N) - xn[i] * (along / T(N)));
    }
    if (row == 0) dgamma[d] = along, dbeta[d] = all;
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
