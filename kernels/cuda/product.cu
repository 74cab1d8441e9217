// The forward product of a layer, split over K: parts[s] = x[:, slice s] @ W[slice s, :].
//
// At the book's sizes (100 x 784 @ 784 x 50) the result has 7 tiles, and a GPU has a hundred
// multiprocessors. So K is cut into slices of `depth`, one block each: parts has shape
// (splits, N, M), and whoever reads it adds the parts up from first to last. No atomics.
//
//   grid   (M / 64, N / 32, splits), 128 threads, each with 4 rows x 4 columns of the tile
//   tile   32 rows x 64 columns; K goes by in steps of 32 through shared memory
//   x      a[row][k], 4 k at a time: rows are padded by 16 bytes, so that the two rows which a
//          warp reads at once lie in different banks
//   W      w[k][column], 16 bytes of columns at a time: 16 neighbouring threads read 16 neighbours,
//          so that a thread's 4 columns are one vector of float, or two of double that lie 32
//          columns apart
//   parts  go out through w, which is done by then, so that whole sectors are written
//
// Where x comes from: `gather_product` takes the rows of the batch from the data set (uint8, int8
// or floating), casts and scales them on the way; `hidden_product` makes x from the parts of the layer
// before it: added up, with bias, activation and dropout, and writes it to `h` for the backward pass,
// and to `kept` what that needs besides (only the blocks of the first 64 columns do);
// `matrix_product` has it in memory. Outside of x and W both are 0, inside nothing is skipped:
// 0 * infinity is NaN here as in NumPy.
//
// `finish` ends a product that stands by itself: parts added up, bias, activation.

template <typename T, typename Before> struct Hidden {
    using Raw = T;
    static constexpr bool PASSES = true;
    static constexpr int AT_ONCE = Before::KEEPS_INPUT ? 1 : 4;  // as registers allow
    const T *parts, *b;
    T *h, *kept;
    Before before;
    int splits, N, D;
    bool write;
    __device__ int64 start(int n) const { return int64(n) * D; }
    template <int COUNT>
    __device__ void load(const int64 (&start)[COUNT], int k, bool inside, Raw (&raw)[COUNT]) const {
        const T bias = inside ? b[k] : T(0);
        int64 place[COUNT];
#pragma unroll
        for (int j = 0; j < COUNT; j++) place[j] = inside && start[j] >= 0 ? start[j] + k : OUTSIDE;
        sums_of_parts<2>(parts, splits, int64(N) * D, place, raw);
#pragma unroll
        for (int j = 0; j < COUNT; j++) raw[j] += bias;
    }
    __device__ T value(Raw raw, int64) const { return raw; }
    __device__ bool is_kept(int n, int k) const { return before.is_kept(n, k, D); }
    // Outside of x it need not be 0: W is, and nobody reads the rows behind the last one.
    __device__ T pass(T sum, bool is_kept, int64 start, int k, bool inside) const {
        const Passed<T> passed = ::pass(before, sum, is_kept);
        if (write && inside && start >= 0) {
            h[start + k] = passed.out;
            if constexpr (Before::KEEPS_INPUT) kept[start + k] = passed.kept;
        }
        return passed.out;
    }
};

template <typename T, typename Source>
__device__ void product(const Source& x, const T* W, T* parts, int N, int D, int M, int depth)
{
    constexpr int V = WIDTH<Vector<T>>, APART = ACROSS * V;  // of a thread's vectors of columns
    using Raw = typename Source::Raw;
    constexpr int LOADS_OF_A_ROW = DEPTH / WIDTH<Raw>;
    constexpr int X_LOADS = ROWS * LOADS_OF_A_ROW / THREADS, W_LOADS = DEPTH * COLUMNS / THREADS;
    __shared__ __align__(16) T a[ROWS][DEPTH + V];
    __shared__ __align__(16) T w[DEPTH][COLUMNS];
    __shared__ int64 start[ROWS];
    const int thread = threadIdx.x, my_rows = thread / ACROSS * SIDE, my_columns = thread % ACROSS * V;
    const int row0 = blockIdx.y * ROWS, column0 = blockIdx.x * COLUMNS;
    const int first = blockIdx.z * depth, last = min(first + depth, D);
    T sum[SIDE][SIDE] = {};

    if (thread < ROWS) start[thread] = row0 + thread < N ? x.start(row0 + thread) : OUTSIDE;
    __syncthreads();
    for (int k0 = first; k0 < last; k0 += DEPTH) {
        const int my_k = thread % LOADS_OF_A_ROW * WIDTH<Raw>;
        const bool inside = k0 + my_k < last;
        int64 starts[X_LOADS];
        Raw raw[X_LOADS];
#pragma unroll
        for (int j = 0; j < X_LOADS; j++) starts[j] = start[(thread + j * THREADS) / LOADS_OF_A_ROW];
        x.load(starts, k0 + my_k, inside, raw);
#pragma unroll
        for (int j = 0; j < X_LOADS; j++) {
            auto value = x.value(raw[j], starts[j]);
            *(decltype(value)*)&a[(thread + j * THREADS) / LOADS_OF_A_ROW][my_k] = value;
        }
#pragma unroll
        for (int j = 0; j < W_LOADS; j++) {
            int i = thread + j * THREADS, k = k0 + i / COLUMNS, m = column0 + i % COLUMNS;
            w[i / COLUMNS][i % COLUMNS] = k < last && m < M ? W[int64(k) * M + m] : T(0);
        }
        if constexpr (Source::PASSES) {
            const int r0 = thread / DEPTH, apart = THREADS / DEPTH, k = k0 + my_k;
            unsigned kept = 0;  // a bit for each entry
#pragma unroll 1
            for (int j = 0; j < X_LOADS; j++)
                kept |= unsigned(x.is_kept(row0 + r0 + j * apart, k)) << j;
#pragma unroll Source::AT_ONCE
            for (int j = 0; j < X_LOADS; j++) {
                const int r = r0 + j * apart;
                a[r][my_k] = x.pass(a[r][my_k], kept >> j & 1, start[r], k, inside);
            }
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < DEPTH; k += 4) {
            Four<T> across[SIDE];
#pragma unroll
            for (int r = 0; r < SIDE; r++) across[r] = *(const Four<T>*)&a[my_rows + r][k];
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int c = 0; c < SIDE; c += V) {
                    Vector<T> down = *(const Vector<T>*)&w[k + i][my_columns + c / V * APART];
#pragma unroll
                    for (int r = 0; r < SIDE; r++)
#pragma unroll
                        for (int v = 0; v < V; v++) sum[r][c + v] += across[r].v[i] * down.v[v];
                }
        }
        __syncthreads();
    }

    static_assert(ROWS == DEPTH, "the tile goes out through w");
#pragma unroll
    for (int r = 0; r < SIDE; r++)
#pragma unroll
        for (int c = 0; c < SIDE; c += V) {
            Vector<T> some;
#pragma unroll
            for (int v = 0; v < V; v++) some.v[v] = sum[r][c + v];
            *(Vector<T>*)&w[my_rows + r][my_columns + c / V * APART] = some;
        }
    __syncthreads();
    T* part = parts + int64(blockIdx.z) * N * M;
    for (int i = thread; i < ROWS * COLUMNS; i += THREADS) {
        int n = row0 + i / COLUMNS, m = column0 + i % COLUMNS;
        if (n < N && m < M) part[int64(n) * M + m] = w[i / COLUMNS][i % COLUMNS];
    }
}

// The mean of the weights of a batch, by a block: each thread adds every 128th of them, and the first
// one what the threads have.
__device__ void mean_weight_of(const Batch& batch, int N, const double* weights, double* mean)
{
    __shared__ double sums[THREADS / WARP];
    double sum = 0;
#pragma unroll 4
    for (int n = threadIdx.x; n < N; n += THREADS) {
        int64 row = batch[n];
        sum += row < 0 ? not_a_number<double>() : weights[row];
    }
    sum = sum_over_warp(sum);
    if (threadIdx.x % WARP == 0) sums[threadIdx.x / WARP] = sum;
    __syncthreads();
    if (threadIdx.x) return;
    for (int warp = 1; warp < THREADS / WARP; warp++) sum += sums[warp];
    *mean = sum / N;
}

// Where samples have weights a block gives the mean of those of the batch as well, for the loss.
template <typename T, typename Data>
__global__ void __launch_bounds__(THREADS, BLOCKS) gather_product(
    const Control<T>* control, const Data* data, int64 samples, T scale,
    const double* weights, double* mean_weight,
    const T* W, T* parts, int N, int D, int M, int depth)
{
    const Batch batch = batch_of(control, control->step, N, samples);
    Gathered<T, Data> x{data, batch, D, scale};
    product(x, W, parts, N, D, M, depth);
    if (weights && blockIdx.x == 0 && blockIdx.y == 0 && blockIdx.z == 0)
        mean_weight_of(batch, N, weights, mean_weight);
}

template <typename T, typename Before>
__global__ void __launch_bounds__(THREADS, BLOCKS) hidden_product(
    const T* before, int splits, const T* b, Between<T> between, T* h, T* kept,
    const T* W, T* parts, int N, int D, int M, int depth)
{
    Hidden<T, Before> x{before, b, h, kept, Before(between), splits, N, D, blockIdx.x == 0};
    product(x, W, parts, N, D, M, depth);
}

template <typename T>
__global__ void __launch_bounds__(THREADS, BLOCKS) matrix_product(
    const T* array, const T* W, T* parts, int N, int D, int M, int depth)
{
    Matrix<T> x{array, D};
    product(x, W, parts, N, D, M, depth);
}

// One thread an entry; `out` may be `parts` where there is one part.
template <typename T, typename Behind>
__global__ void finish(const T* parts, int splits, const T* b, T* out, int64 size, int M)
{
    int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= size) return;
    out[i] = Behind(Between<T>{}).forward(whole(parts + i, splits, size, b[i % M]));
}
