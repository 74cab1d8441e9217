// The losses of fastnn.backends.base, a type each, by one warp a sample.
//
//   Target       what the targets of the data set are
//   constructor  asks memory for what it reads of the sample, long before that is needed
//   called       gives the loss of the sample, and writes the gradient of the mean of N by its scores
//
// Scores and result may be the same memory: a lane reads back only what it wrote. NaN is the loss of
// a sample that is not there. A loss is cut at the largest one, where it would overflow.

template <typename Target> struct Targets {
    const Target* t;            // of the data set
    const double *weights, *mean_weight;  // of the samples, and of this batch; see `Weighted`
};

template <typename T> __device__ T cut(T loss) {
    return loss > largest_loss(loss) ? largest_loss(loss) : loss;
}

// Softmax and cross-entropy. A label that is no class is compared, never used as an address. The
// largest score is found without regard to NaN, which then shows in the sum, as it does in NumPy.
template <typename T> struct SoftmaxCrossEntropy {
    using Target = int64;
    int64 t;
    __device__ explicit SoftmaxCrossEntropy(int64 label) : t(label) {}
    __device__ SoftmaxCrossEntropy(const Targets<int64>& targets, int64 sample, int, int)
        : t(sample < 0 ? -1 : targets.t[sample]) {}

    // With PROBABILITIES the result is softmax itself.
    template <bool PROBABILITIES = false>
    __device__ T operator()(const T* scores, T* result, int C, T N, int lane) const {
        T largest = -infinity<T>();
        for (int c = lane; c < C; c += WARP) largest = scores[c] > largest ? scores[c] : largest;
        largest = max_over_warp(largest);
        T total = 0, of_label = 0;
        for (int c = lane; c < C; c += WARP) {
            T s = scores[c] - largest, e = exponential(s);
            total += e;
            if (c == t) of_label = s;
            result[c] = e;
        }
        total = sum_over_warp(total);
        of_label = sum_over_warp(of_label);  // one lane has it, the others add 0
        for (int c = lane; c < C; c += WARP) {
            T y = result[c] / total;
            result[c] = PROBABILITIES ? y : (y - T(c == t)) / N;
        }
        return t >= 0 && t < C ? cut(logarithm(total) - of_label) : not_a_number<T>();
    }
};

// A loss that is the sum over the outputs of `Loss::of`, which gives y as well: the gradient is
// (y - t) / N.
template <typename T, typename Loss> struct OfOutputs {
    using Target = T;
    const T* t;  // of the sample; null if it is not there
    T first;     // target of the lane
    __device__ OfOutputs(const Targets<T>& targets, int64 sample, int C, int lane)
        : t(sample < 0 ? nullptr : targets.t + sample * C),
          first(t && lane < C ? t[lane] : not_a_number<T>()) {}

    // With ANSWERS the result is y itself.
    template <bool ANSWERS = false>
    __device__ T operator()(const T* scores, T* result, int C, T N, int lane) const {
        T loss = 0;
        for (int c = lane; c < C; c += WARP) {
            const T target = c == lane || !t ? first : t[c];
            T y;
            loss += Loss::of(scores[c], target, y);
            if (result) result[c] = ANSWERS ? y : (y - target) / N;
        }
        return cut(sum_over_warp(loss));
    }
};

template <typename T> struct SigmoidCrossEntropy : OfOutputs<T, SigmoidCrossEntropy<T>> {
    using OfOutputs<T, SigmoidCrossEntropy<T>>::OfOutputs;
    __device__ static T of(T x, T t, T& y) {
        const bool positive = x > T(0);
        const T size = positive ? x : -x, e = exponential(-size);
        y = (positive ? T(1) : e) / (T(1) + e);
        return size * (positive ? T(1) - t : t) + logarithm_of_one_and(e);
    }
};

template <typename T> struct SquaredError : OfOutputs<T, SquaredError<T>> {
    using OfOutputs<T, SquaredError<T>>::OfOutputs;
    __device__ static T of(T x, T t, T& y) {
        y = x;
        return (x - t) * (x - t) / T(2);
    }
};

template <typename T> struct PoissonDeviance : OfOutputs<T, PoissonDeviance<T>> {
    using OfOutputs<T, PoissonDeviance<T>>::OfOutputs;
    __device__ static T of(T x, T t, T& y) {
        y = exponential(x);
        const T log_t = logarithm(t > T(0) ? t : T(1));
        return y == infinity<T>() ? y : t * (log_t - x) - t + y;
    }
};

// A loss of samples with weights: times the share that the weight has beside the mean of the batch.
template <typename T, typename Loss> struct Weighted : Loss {
    T share;
    template <typename Target>
    __device__ Weighted(const Targets<Target>& targets, int64 sample, int C, int lane)
        : Loss(targets, sample, C, lane) {
        const double mean = *targets.mean_weight;
        const double weight = sample < 0 ? not_a_number<double>() : targets.weights[sample];
        share = T(weight / (mean > 0 ? mean : 1));
    }
    __device__ T operator()(const T* scores, T* result, int C, T N, int lane) const {
        const T loss = Loss::operator()(scores, result, C, N, lane);
        for (int c = lane; c < C; c += WARP) result[c] *= share;
        return loss * share;
    }
};
