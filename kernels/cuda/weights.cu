// The last kernel of a step: for every layer dW = x.T @ dout and db = sum of dout over the batch,
// and at once W and b follow these, by the rule, in place. All layers in one launch: each block
// looks up in `layers` which one it belongs to, and which tile of it. Behind the tiles come the
// `vectors`, parameters whose gradients another kernel has left in memory. The mean loss is given
// here, too, and `step` goes on to the next one: see `close_step`.
//
// A gradient of a tile never reaches memory. K is the batch, so one block sums over all of it and
// nobody else writes its entries. Only where a norm of all gradients is to be known before any
// parameter changes are they kept: then `update_clipped` is one kernel more, behind this one.
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
    Parameter<T> W, b;   // (D, M), (M,)
    int D, M;
    int first_block;     // its tiles begin there
    int tiles_across;    // tiles that lie side by side in W
};

template <typename T> struct Shared {
    T a[DEPTH][ROWS];
    T g[DEPTH][COLUMNS];
    int64 start[2][DEPTH];  // of the rows of these samples, and of the next
};

// What a thread has of x and dout for DEPTH samples, between global and shared memory.
template <typename T, typename Source> struct UnderWay {
    using Raw = typename Source::Raw;
    static constexpr int LOADS_OF_A_ROW = ROWS / WIDTH<Raw>;
    static constexpr int X_LOADS = DEPTH * LOADS_OF_A_ROW / THREADS;
    static constexpr int G_LOADS = DEPTH * COLUMNS / THREADS;
    Raw raw[X_LOADS];
    T right[G_LOADS];

    static __device__ int row() { return threadIdx.x % LOADS_OF_A_ROW * WIDTH<Raw>; }
    static __device__ int sample(int j) { return (threadIdx.x + j * THREADS) / LOADS_OF_A_ROW; }

    __device__ void load(
        const Source& x, const T* dout, const int64* start, int n0, int N, int D, int M, int row0,
        int column0)
    {
        int64 starts[X_LOADS];
#pragma unroll
        for (int j = 0; j < X_LOADS; j++) starts[j] = start[sample(j)];
        x.load(starts, row0 + row(), row0 + row() < D, raw);
#pragma unroll
        for (int j = 0; j < G_LOADS; j++) {
            int i = threadIdx.x + j * THREADS, n = n0 + i / COLUMNS, m = column0 + i % COLUMNS;
            right[j] = n < N && m < M ? dout[int64(n) * M + m] : T(0);
        }
    }

    __device__ void store(const Source& x, const int64* start, Shared<T>& shared) const {
#pragma unroll
        for (int j = 0; j < X_LOADS; j++) {
            auto value = x.value(raw[j], start[sample(j)]);
            *(decltype(value)*)&shared.a[sample(j)][row()] = value;
        }
#pragma unroll
        for (int j = 0; j < G_LOADS; j++) {
            int i = threadIdx.x + j * THREADS;
            shared.g[i / COLUMNS][i % COLUMNS] = right[j];
        }
    }
};

// The tile's 4 x 1 entries of x.T @ dout that this thread has, and the sum of dout's column.
//
// While it sums over DEPTH samples the next ones are under way, and the places of those after them.
template <typename T, typename Source>
__device__ void tile_of_gradient(
    Shared<T>& shared, const Source& x, const T* dout, int N, int D, int M, int row0, int column0,
    T (&sum)[4], T& bias)
{
    const int thread = threadIdx.x, my_rows = thread / COLUMNS * 4, my_column = thread % COLUMNS;
    auto start_of = [&](int n) { return thread < DEPTH && n < N ? x.start(n) : OUTSIDE; };
    UnderWay<T, Source> next;
    if (thread < DEPTH) shared.start[0][thread] = start_of(thread);
    __syncthreads();
    next.load(x, dout, shared.start[0], 0, N, D, M, row0, column0);
    int64 next_start = start_of(DEPTH + thread);

    for (int first = 0; first < N; first += LONG) {
        const int last = min(first + LONG, N);
        T long_sum[4] = {}, long_bias = 0;
        for (int n0 = first; n0 < last; n0 += DEPTH) {
            const int turn = n0 / DEPTH % 2;
            next.store(x, shared.start[turn], shared);
            if (thread < DEPTH) shared.start[1 - turn][thread] = next_start;
            __syncthreads();
            next.load(x, dout, shared.start[1 - turn], n0 + DEPTH, N, D, M, row0, column0);
            next_start = start_of(n0 + 2 * DEPTH + thread);
            T short_sum[4] = {}, short_bias = 0;
#pragma unroll (sizeof(T) == 4 ? DEPTH : 2)  // what leaves double its registers
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

// The tile of W that a block has, and of its first row b, follow their gradients.
template <typename T, typename Rule>
__device__ void follow_tile(
    const Rule& rule, const LayerUpdate<T>& layer, int row0, int column0, const T (&sum)[4], T bias,
    Squares& squares)
{
    const int my_rows = threadIdx.x / COLUMNS * 4, m = column0 + threadIdx.x % COLUMNS;
    int64 places[4];
#pragma unroll
    for (int r = 0; r < 4; r++) {
        const int d = row0 + my_rows + r;
        places[r] = d < layer.D && m < layer.M ? int64(d) * layer.M + m : -1;
    }
    const int64 place[1] = {row0 == 0 && my_rows == 0 && m < layer.M ? m : -1};
    const T of_bias[1] = {bias};
    Entries<T, Rule, 4> W(layer.W, places);
    Entries<T, Rule, 1> b(layer.b, place);
    W.follow(rule, sum, true, squares);
    b.follow(rule, of_bias, false, squares);
}

// A block's entries of a parameter whose gradient is in memory, times `factor`.
template <typename T, typename Rule>
__device__ void follow_stretch(
    const Rule& rule, const Stretch<T>& stretch, int block, T factor, Squares& squares)
{
    int64 place[ENTRIES];
    T gradient[ENTRIES];
#pragma unroll
    for (int j = 0; j < ENTRIES; j++) {
        const int64 i = (int64(block - stretch.first_block) * ENTRIES + j) * THREADS + threadIdx.x;
        place[j] = i < stretch.size ? i : -1;
        gradient[j] = i < stretch.size ? factor * stretch.parameter.gradient[i] : T(0);
    }
    Entries<T, Rule, ENTRIES> entries(stretch.parameter, place);
    entries.follow(rule, gradient, stretch.is_weight != 0, squares);
}

template <typename T, typename Data, typename Rule>
__global__ void __launch_bounds__(THREADS, BLOCKS) update_weights(
    Control<T>* control, const LayerUpdate<T>* layers, int layer_count,
    const Stretch<T>* vectors, int vector_count, int tiles,
    const Data* data, int64 samples, T scale, const T* losses, int N,
    double* parts, unsigned* arrived, T* clip_factor, double clip_epsilon, double times)
{
    const int step = control->step_last;
    const Rule rule(control->numbers + int64(step) * control->stride);
    Squares squares;
    if (int(blockIdx.x) < tiles) {
        const LayerUpdate<T> layer = of_block(layers, layer_count, blockIdx.x);
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
        follow_tile(rule, layer, row0, column0, sum, bias, squares);
    } else {
        const int block = int(blockIdx.x) - tiles;
        follow_stretch(rule, of_block(vectors, vector_count, block), block, T(1), squares);
    }
    close_step(
        control, step, rule, squares, losses, N, parts, arrived, clip_factor, clip_epsilon, times);
}

// All parameters follow the gradients that `update_weights` has kept, which are clipped.
template <typename T, typename Rule>
__global__ void __launch_bounds__(THREADS, BLOCKS) update_clipped(
    const Control<T>* control, const Stretch<T>* parameters, int count, const T* clip_factor)
{
    using Within = typename Rule::Within;
    const T* numbers = control->numbers + int64(control->step_last) * control->stride;
    const Within rule(numbers + Rule::NUMBERS - Within::NUMBERS);
    Squares none;
    follow_stretch(
        rule, of_block(parameters, count, blockIdx.x), blockIdx.x, *clip_factor, none);
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
