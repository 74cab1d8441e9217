// The last kernel of a step: for every layer dW = x.T @ dout and db = sum of dout over the batch,
// and at once W -= rate * dW and b -= rate * db, in place. All layers in one launch: each block
// looks up in `layers` which one it belongs to, and which tile of it.
//
// A gradient never reaches memory. K is the batch, so one block sums over all of it and nobody else
// writes its entries. Block 0 also gives the mean loss, and takes `step` on to the next one.
//
//   sums   each tile of 32 samples is summed by itself, so are 32 tiles, and those sums are added:
//          at 200,000 samples an entry is the sum of 196 numbers, not of 200,000, and its rounding
//          error a hundredth. It costs 5 additions a tile, beside 160.
//   tile   32 rows (features) x 16 columns of W, 128 threads, each with 4 rows x 1 column: small,
//          so that 784 x 50 gives 100 blocks; the batch goes by in steps of 32
//   x      a[n][row], read along rows: 32 features are whole sectors also of a uint8 data set; a
//          thread's 4 rows are one vector, the same for 16 threads
//   dout   g[n][column]: 16 threads read 16 neighbours
//   W      16 neighbouring threads write 16 neighbours
//
// x of the first layer is gathered from the data set again: that moves less than writing it would.
//
// `weight_gradients` is the same for one layer by itself, and writes dW and db instead.

constexpr int LONG = 32 * DEPTH;  // samples of a long sum, which is made of short ones of DEPTH

template <typename T> struct LayerUpdate {
    const T *x, *dout;   // (N, D), null for the first layer, which reads the data set; (N, M)
    T *W, *b;            // (D, M), (M,)
    int D, M;
    int first_block;     // its tiles begin there
    int tiles_across;    // tiles that lie side by side in W
};

template <typename T> struct Shared {
    T a[DEPTH][ROWS];
    T g[DEPTH][COLUMNS];
    int64 start[DEPTH];
};

// The tile's 4 x 1 entries of x.T @ dout that this thread has, and the sum of dout's column.
template <typename T, typename Source>
__device__ void tile_of_gradient(
    Shared<T>& shared, const Source& x, const T* dout, int N, int D, int M, int row0, int column0,
    T (&sum)[4], T& bias)
{
    using Raw = typename Source::Raw;
    constexpr int LOADS_OF_A_ROW = ROWS / WIDTH<Raw>;
    constexpr int X_LOADS = DEPTH * LOADS_OF_A_ROW / THREADS, G_LOADS = DEPTH * COLUMNS / THREADS;
    const int thread = threadIdx.x, my_rows = thread / COLUMNS * 4, my_column = thread % COLUMNS;
    const int my_row = thread % LOADS_OF_A_ROW * WIDTH<Raw>, my_d = row0 + my_row;

    for (int first = 0; first < N; first += LONG) {
        const int last = min(first + LONG, N);
        T long_sum[4] = {}, long_bias = 0;
        for (int n0 = first; n0 < last; n0 += DEPTH) {
            T right[G_LOADS];
#pragma unroll
            for (int j = 0; j < G_LOADS; j++) {
                int i = thread + j * THREADS, n = n0 + i / COLUMNS, m = column0 + i % COLUMNS;
                right[j] = n < N && m < M ? dout[int64(n) * M + m] : T(0);
            }
            if (thread < DEPTH)
                shared.start[thread] = n0 + thread < N ? x.start(n0 + thread) : OUTSIDE;
            __syncthreads();
            int64 starts[X_LOADS];
            Raw raw[X_LOADS];
#pragma unroll
            for (int j = 0; j < X_LOADS; j++)
                starts[j] = shared.start[(thread + j * THREADS) / LOADS_OF_A_ROW];
            x.load(starts, my_d, my_d < D, raw);
#pragma unroll
            for (int j = 0; j < G_LOADS; j++) {
                int i = thread + j * THREADS;
                shared.g[i / COLUMNS][i % COLUMNS] = right[j];
            }
#pragma unroll
            for (int j = 0; j < X_LOADS; j++) {
                auto value = x.value(raw[j], starts[j]);
                *(decltype(value)*)&shared.a[(thread + j * THREADS) / LOADS_OF_A_ROW][my_row] = value;
            }
            __syncthreads();
            T short_sum[4] = {}, short_bias = 0;
#pragma unroll
            for (int n = 0; n < DEPTH; n++) {
                Four<T> four = *(const Four<T>*)&shared.a[n][my_rows];
                T d = shared.g[n][my_column];
                short_bias += d;
#pragma unroll
                for (int r = 0; r < 4; r++) short_sum[r] += four.v[r] * d;
            }
            long_bias += short_bias;
#pragma unroll
            for (int r = 0; r < 4; r++) long_sum[r] += short_sum[r];
            __syncthreads();
        }
        bias += long_bias;
#pragma unroll
        for (int r = 0; r < 4; r++) sum[r] += long_sum[r];
    }
}

template <typename T, typename Data>
__global__ void __launch_bounds__(THREADS, BLOCKS) update_weights(
    Control<T>* control, const LayerUpdate<T>* layers, int count,
    const Data* data, int64 samples, T scale, const T* losses, int N)
{
    const int thread = threadIdx.x, my_rows = thread / COLUMNS * 4, my_column = thread % COLUMNS;
    const int step = control->step_last;
    const T rate = control->numbers[int64(step) * control->stride];

    int l = 0;
    while (l + 1 < count && int(blockIdx.x) >= layers[l + 1].first_block) l++;
    const LayerUpdate<T> layer = layers[l];
    const int D = layer.D, M = layer.M, tile = blockIdx.x - layer.first_block;
    const int row0 = tile / layer.tiles_across * ROWS;
    const int column0 = tile % layer.tiles_across * COLUMNS;
    __shared__ __align__(16) Shared<T> shared;
    T sum[4] = {}, bias = 0;
    if (layer.x) {
        Matrix<T> x{layer.x, D};
        tile_of_gradient(shared, x, layer.dout, N, D, M, row0, column0, sum, bias);
    } else {
        Gathered<T, Data> x{data, batch_of(control, step, N, samples), D, scale};
        tile_of_gradient(shared, x, layer.dout, N, D, M, row0, column0, sum, bias);
    }

    const int m = column0 + my_column;
    const bool has_bias = row0 == 0 && my_rows == 0 && m < M;
    const T b = has_bias ? layer.b[m] : T(0);
    T W[4];  // all of it is read before any is written, which might be the same memory
#pragma unroll
    for (int r = 0; r < 4; r++) {
        int d = row0 + my_rows + r;
        W[r] = d < D && m < M ? layer.W[int64(d) * M + m] : T(0);
    }
#pragma unroll
    for (int r = 0; r < 4; r++) {
        int d = row0 + my_rows + r;
        if (d < D && m < M) layer.W[int64(d) * M + m] = W[r] - rate * sum[r];
    }
    if (has_bias) layer.b[m] = b - rate * bias;

    if (blockIdx.x == 0 && thread < WARP) {
        T mean = mean_over_warp(losses, N, thread);
        if (thread == 0) control->losses[step] = mean, control->step = step + 1;
    }
}

template <typename T>
__global__ void __launch_bounds__(THREADS, BLOCKS) weight_gradients(
    const T* array, const T* dout, T* dW, T* db, int N, int D, int M)
{
    const int my_rows = threadIdx.x / COLUMNS * 4, my_column = threadIdx.x % COLUMNS;
    const int row0 = blockIdx.y * ROWS, column0 = blockIdx.x * COLUMNS, m = column0 + my_column;
    __shared__ __align__(16) Shared<T> shared;
    Matrix<T> x{array, D};
    T sum[4] = {}, bias = 0;
    tile_of_gradient(shared, x, dout, N, D, M, row0, column0, sum, bias);
#pragma unroll
    for (int r = 0; r < 4; r++) {
        int d = row0 + my_rows + r;
        if (d < D && m < M) dW[int64(d) * M + m] = sum[r];
    }
    if (row0 == 0 && my_rows == 0 && m < M) db[m] = bias;
}
