// What the kernels of a training step share. The loader puts this text before each of them.
//
// Order of sums. Every sum here is taken in an order that depends on the shapes and the splits
// alone: along k within a thread, over the splits from first to last, over a warp by a butterfly;
// sums over samples, of which there may be very many, in blocks or with compensation.
// Nothing is added atomically, so a run gives the same bits however its blocks are scheduled.

using int64 = long long;
using uint64 = unsigned long long;

// What the host says once for many steps; `begin` writes it, the kernels of a step read it.
// `step` counts through the rows. Where a kernel writes it other blocks may still read it, so there
// are two: the kernels of a step read `step` up to the one that has the loss, which copies it to
// `step_last`; the last kernel reads that and writes `step`.
template <typename T> struct Control {
    const int64* rows;  // (steps, N): which samples make the batches
    T* losses;          // (steps,)
    const T* numbers;   // what the update rule reads: a row of hyperparameters for each step
    uint64* const* draws;  // the numbers of the next draws of dropout, which a step takes on
    int step;           // written by the last kernel of a step
    int step_last;      // written by the kernel that has the loss
    int stride;         // from one row of numbers to the next; 0 if they are the same in all steps
    int draw_count;
};

// Ends a step: what is next of everything that goes from step to step. By one thread, when no kernel
// before it is at work.
template <typename T> __device__ void go_on(Control<T>* control, int step) {
    control->step = step + 1;
    for (int i = 0; i < control->draw_count; i++) ++*control->draws[i];
}

// The rows of the batch of this step, as places in the data set; -1 where there is no such sample.
struct Batch {
    const int64* rows;
    int64 samples;
    __device__ int64 operator[](int n) const {
        int64 row = rows[n];
        return row >= 0 && row < samples ? row : -1;
    }
};

template <typename T>
__device__ Batch batch_of(const Control<T>* control, int step, int N, int64 samples) {
    return Batch{control->rows + int64(step) * N, samples};
}

template <typename T> __device__ T not_a_number() { return T(__int_as_float(0x7fffffff)); }
template <typename T> __device__ T infinity() { return T(__int_as_float(0x7f800000)); }
// Half the largest finite number: where base.py cuts a loss.
__device__ inline float largest_loss(float) { return __int_as_float(0x7effffff); }
__device__ inline double largest_loss(double) { return __longlong_as_double(0x7fdfffffffffffffLL); }

__device__ inline float exponential(float x) { return expf(x); }
__device__ inline double exponential(double x) { return exp(x); }
__device__ inline float logarithm(float x) { return logf(x); }
__device__ inline double logarithm(double x) { return log(x); }
__device__ inline float logarithm_of_one_and(float x) { return log1pf(x); }
__device__ inline double logarithm_of_one_and(double x) { return log1p(x); }

constexpr unsigned ALL_LANES = 0xffffffffu;

template <typename T> __device__ T sum_over_warp(T x) {
    for (int other = WARP / 2; other; other /= 2) x += __shfl_xor_sync(ALL_LANES, x, other);
    return x;
}

// The mean of N losses, each divided before it is added, as in base.py, so that none overflows. A
// lane has N / 32 of them: what is lost when one is added is added with the next (Kahan, 1965).
template <typename T> __device__ T mean_over_warp(const T* losses, int N, int lane) {
    constexpr int AT_ONCE = 4;
    T mean = 0, lost = 0;
    for (int first = lane; first < N; first += AT_ONCE * WARP) {
        T some[AT_ONCE];
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++)
            some[j] = first + j * WARP < N ? losses[first + j * WARP] : T(0);
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++) {
            if (first + j * WARP >= N) break;
            T term = some[j] / T(N) - lost, more = mean + term;
            lost = (more - mean) - term;
            mean = more;
        }
    }
    return sum_over_warp(mean);
}

template <typename T> __device__ T max_over_warp(T x) {
    for (int other = WARP / 2; other; other /= 2) {
        T y = __shfl_xor_sync(ALL_LANES, x, other);
        x = y > x ? y : x;
    }
    return x;
}

// Four neighbours: for float one 16-byte access, for double two.
template <typename T> struct alignas(16) Four {
    T v[4];
};

// Neighbours that one access moves, of at most 16 bytes.
template <typename T, int SIZE> struct alignas(SIZE * sizeof(T)) Neighbours {
    T v[SIZE];
};
template <typename T> using Vector = Neighbours<T, 16 / sizeof(T)>;

template <typename T> constexpr int WIDTH = 1;  // numbers in it
template <typename T, int SIZE> constexpr int WIDTH<Neighbours<T, SIZE>> = SIZE;

template <typename T, typename Data> __device__ T scaled(Data x, T scale) { return T(x) * scale; }
template <typename T, typename Data, int SIZE>
__device__ Neighbours<T, SIZE> scaled(Neighbours<Data, SIZE> x, T scale) {
    Neighbours<T, SIZE> out;
#pragma unroll
    for (int i = 0; i < SIZE; i++) out.v[i] = scaled(x.v[i], scale);
    return out;
}

// Where a kernel has x (N, D) from: rows of the data set, cast and scaled, or an array.
//
// `start` is asked once for a row, then `load` for COUNT rows from an entry on, as many neighbours
// as there are in Raw, and `value` for what each of these is. A load of nothing but numbers, under a
// condition that is no branch, and all loads of a thread before the first `value`: so they are under
// way together, where one after the other each would take a trip to memory. Outside of x, in rows or
// columns, numbers are 0. Where x PASSES what stands between layers, `pass` takes its numbers
// through that, one after the other.
constexpr int64 NO_SAMPLE = -1, OUTSIDE = -2;  // for the start of a row

// Data is the type of a number of the data set, or Neighbours of it where rows allow that.
template <typename T, typename Data> struct Gathered {
    using Raw = Data;
    static constexpr bool PASSES = false;
    const Data* data;
    Batch batch;
    int D;
    T scale;
    __device__ int64 start(int n) const {
        int64 row = batch[n];
        return row < 0 ? NO_SAMPLE : row * (D / WIDTH<Data>);
    }
    template <int COUNT>
    __device__ void load(const int64 (&start)[COUNT], int d, bool inside, Raw (&raw)[COUNT]) const {
#pragma unroll
        for (int j = 0; j < COUNT; j++)
            raw[j] = inside && start[j] >= 0 ? data[start[j] + d / WIDTH<Data>] : Raw{};
    }
    __device__ auto value(Raw raw, int64 start) const {
        return scaled(raw, start == NO_SAMPLE ? not_a_number<T>() : scale);
    }
};

template <typename T> struct Matrix {
    using Raw = T;
    static constexpr bool PASSES = false;
    const T* x;
    int D;
    __device__ int64 start(int n) const { return int64(n) * D; }
    template <int COUNT>
    __device__ void load(const int64 (&start)[COUNT], int d, bool inside, Raw (&raw)[COUNT]) const {
#pragma unroll
        for (int j = 0; j < COUNT; j++) raw[j] = inside && start[j] >= 0 ? x[start[j] + d] : T(0);
    }
    __device__ T value(Raw raw, int64) const { return raw; }
};

// COUNT entries of a split product, each the sum of its parts from first to last. AT_ONCE parts of
// all entries are under way together; 0 for what is not there (place < 0, or behind the last split)
// changes no bit of a sum that begins with 0.
template <int AT_ONCE, typename T, int COUNT>
__device__ void sums_of_parts(
    const T* parts, int splits, int64 stride, const int64 (&place)[COUNT], T (&sum)[COUNT])
{
#pragma unroll
    for (int j = 0; j < COUNT; j++) sum[j] = 0;
#pragma unroll 1
    for (int first = 0; first < splits; first += AT_ONCE, parts += AT_ONCE * stride) {
        T part[AT_ONCE][COUNT];
#pragma unroll
        for (int s = 0; s < AT_ONCE; s++)
#pragma unroll
            for (int j = 0; j < COUNT; j++)
                part[s][j] =
                    first + s < splits && place[j] >= 0 ? parts[s * stride + place[j]] : T(0);
#pragma unroll
        for (int s = 0; s < AT_ONCE; s++)
#pragma unroll
            for (int j = 0; j < COUNT; j++) sum[j] += part[s][j];
    }
}

// One entry of a split product: the sum of its parts, with the bias.
template <typename T>
__device__ T whole(const T* parts, int splits, int64 stride, T b) {
    const int64 place[1] = {0};
    T sum[1];
    sums_of_parts<8>(parts, splits, stride, place, sum);
    return sum[0] + b;
}
