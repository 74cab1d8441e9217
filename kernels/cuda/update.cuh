// What becomes of the gradients that a thread has, by the rule (rules.cuh) that a step is made with.
//
// Parameter and state follow them at once; or, where they are clipped, gradients are kept until the
// norm of all of them is known. Whatever needs a number of all parameters, that norm or the squares
// of all weights, is added up by the block that arrives last, in the order of the blocks, whichever
// one that is: parts (2, blocks) of the norm and of the penalty.

template <typename T> struct Parameter {
    T *values, *gradient;  // the latter where gradients are kept, or come from
    T* state[2];
};

// A parameter, of which a block does ENTRIES x THREADS entries.
template <typename T> struct Stretch {
    Parameter<T> parameter;
    int64 size;
    int first_block, is_weight;
};

// The one among `count` of a table that a block belongs to.
template <typename Of> __device__ Of of_block(const Of* table, int count, int block) {
    int i = 0;
    while (i + 1 < count && block >= table[i + 1].first_block) i++;
    return table[i];
}

struct Squares {
    double gradients = 0, weights = 0;
};

// COUNT entries of a parameter, at places that are negative where there is none. All that a thread
// has is read, which is when they are made, before any of it is written, where it follows.
template <typename T, typename Rule, int COUNT> struct Entries {
    const Parameter<T> parameter;
    const int64 (&place)[COUNT];
    T value[COUNT], state[COUNT][Rule::STATES + 1];

    __device__ Entries(const Parameter<T>& parameter, const int64 (&place)[COUNT])
        : parameter(parameter), place(place)
    {
#pragma unroll
        for (int j = 0; j < COUNT; j++) {
            value[j] = place[j] >= 0 ? parameter.values[place[j]] : T(0);
#pragma unroll
            for (int s = 0; s < Rule::STATES && !Rule::CLIPS; s++)
                state[j][s] = place[j] >= 0 ? parameter.state[s][place[j]] : T(0);
        }
    }

    __device__ void follow(
        const Rule& rule, const T (&gradient)[COUNT], bool is_weight, Squares& squares)
    {
        T whole[COUNT];
#pragma unroll
        for (int j = 0; j < COUNT; j++) {
            whole[j] = place[j] >= 0 ? rule.whole(value[j], gradient[j], is_weight) : T(0);
            if (Rule::PENALISES && is_weight) squares.weights += double(value[j]) * double(value[j]);
            if (Rule::CLIPS) squares.gradients += double(whole[j]) * double(whole[j]);
            if constexpr (!Rule::CLIPS) rule(value[j], whole[j], state[j], is_weight);
        }
#pragma unroll
        for (int j = 0; j < COUNT; j++) {
            if constexpr (Rule::CLIPS) {
                if (place[j] >= 0) parameter.gradient[place[j]] = whole[j];
            } else if (place[j] >= 0) {
                parameter.values[place[j]] = value[j];
#pragma unroll
                for (int s = 0; s < Rule::STATES; s++)
                    parameter.state[s][place[j]] = state[j][s];
            }
        }
    }
};

// The sum over the threads of a block, in their order; all of them call it, and thread 0 has it.
__device__ inline double sum_over_block(double mine) {
    __shared__ double of_warps[THREADS / WARP];
    mine = sum_over_warp(mine);
    __syncthreads();  // what it held before has been read
    if (threadIdx.x % WARP == 0) of_warps[threadIdx.x / WARP] = mine;
    __syncthreads();
    double sum = 0;
    for (int warp = 0; warp < THREADS / WARP; warp++) sum += of_warps[warp];
    return sum;
}

// The sum of what all blocks left in `parts`, which other blocks wrote just now.
__device__ inline double sum_of_blocks(const volatile double* parts) {
    double sum = 0;
    for (int i = threadIdx.x; i < gridDim.x; i += THREADS) sum += parts[i];
    return sum_over_block(sum);
}

// The loss of a step, and on to the next one. Once a launch, by all threads of all blocks.
template <typename T, typename Rule>
__device__ void close_step(
    Control<T>* control, int step, const Rule& rule, const Squares& squares, const T* losses, int N,
    double* parts, unsigned* arrived, T* clip_factor, double clip_epsilon, double times)
{
    double of_weights = 0;
    if constexpr (Rule::CLIPS || Rule::PENALISES) {
        __shared__ bool last;
        const double of_gradients = sum_over_block(squares.gradients);
        of_weights = sum_over_block(squares.weights);
        if (threadIdx.x == 0) {
            parts[blockIdx.x] = of_gradients;
            parts[gridDim.x + blockIdx.x] = of_weights;
            __threadfence();
            last = atomicInc(arrived, gridDim.x - 1) == gridDim.x - 1;  // which begins anew
            __threadfence();
        }
        __syncthreads();
        if (!last) return;
        if constexpr (Rule::CLIPS) {
            const double all = sum_of_blocks(parts);
            if (threadIdx.x == 0)
                *clip_factor = T(clip_factor_of(all, double(rule.clip_norm), clip_epsilon));
        }
        if constexpr (Rule::PENALISES) of_weights = sum_of_blocks(parts + gridDim.x);
    } else if (blockIdx.x != 0) {
        return;
    }
    if (threadIdx.x >= WARP) return;
    T loss = mean_over_warp(losses, N, threadIdx.x);
    if (threadIdx.x) return;
    if constexpr (Rule::PENALISES) loss += T(times * double(rule.penalty) / 2 * of_weights);
    control->losses[step] = loss;
    go_on(control, step);
}
