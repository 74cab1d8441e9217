// How a parameter follows its gradient: the update rules of fastnn.backends.base, a type each.
//
// A rule is made of the numbers that it reads, in the order in which its constructor takes them.
// Called with a parameter, its gradient and its state it changes parameter and state. What a step
// does besides is a type around it, whose own number comes first: `Decayed` and `Decoupled` are
// weight decay, of weights alone or of ALL parameters; outside of these `Clipped` says that
// gradients are cut to a norm of all of them, and outermost `Penalised` that the loss has a penalty.
//
//   STATES   arrays of state, in the order in which the specification has them
//   NUMBERS  that are read
//   whole    the gradient of the loss with its penalty, of which the norm is taken
//   Within   what a clipped gradient is followed by; its numbers come last

template <typename T, int STATES_, int NUMBERS_> struct Rule {
    static constexpr int STATES = STATES_, NUMBERS = NUMBERS_;
    static constexpr bool CLIPS = false, PENALISES = false;
    __device__ T whole(T, T dW, bool) const { return dW; }
};

template <typename T> struct Sgd : Rule<T, 0, 1> {
    const T lr;
    __device__ explicit Sgd(const T* numbers) : lr(numbers[0]) {}
    __device__ void operator()(T& W, T dW, T*, bool = true) const { W -= lr * dW; }
};

template <typename T> struct Momentum : Rule<T, 1, 2> {
    const T lr, momentum;
    __device__ explicit Momentum(const T* numbers) : lr(numbers[0]), momentum(numbers[1]) {}
    __device__ void operator()(T& W, T dW, T* state, bool = true) const {
        T& v = state[0];
        v = momentum * v - lr * dW;
        W += v;
    }
};

template <typename T> struct Nesterov : Rule<T, 1, 2> {
    const T lr, momentum;
    __device__ explicit Nesterov(const T* numbers) : lr(numbers[0]), momentum(numbers[1]) {}
    __device__ void operator()(T& W, T dW, T* state, bool = true) const {
        T &v = state[0], change = lr * dW;
        W += momentum * momentum * v - (T(1) + momentum) * change;
        v = momentum * v - change;
    }
};

template <typename T> struct AdaGrad : Rule<T, 1, 2> {
    const T lr, epsilon;
    __device__ explicit AdaGrad(const T* numbers) : lr(numbers[0]), epsilon(numbers[1]) {}
    __device__ void operator()(T& W, T dW, T* state, bool = true) const {
        T& h = state[0];
        h += dW * dW;
        W -= lr * dW / (sqrt(h) + epsilon);
    }
};

template <typename T> struct RMSprop : Rule<T, 1, 3> {
    const T lr, one_minus_decay_rate, epsilon;
    __device__ explicit RMSprop(const T* numbers)
        : lr(numbers[0]), one_minus_decay_rate(numbers[1]), epsilon(numbers[2]) {}
    __device__ void operator()(T& W, T dW, T* state, bool = true) const {
        T& h = state[0];
        h += one_minus_decay_rate * (dW * dW - h);
        W -= lr * dW / (sqrt(h) + epsilon);
    }
};

template <typename T> struct Adam : Rule<T, 2, 4> {
    const T lr_t, one_minus_beta1, one_minus_beta2, epsilon;
    __device__ explicit Adam(const T* numbers)
        : lr_t(numbers[0]), one_minus_beta1(numbers[1]), one_minus_beta2(numbers[2]),
          epsilon(numbers[3]) {}
    __device__ void operator()(T& W, T dW, T* state, bool = true) const {
        T &m = state[0], &v = state[1];
        m += one_minus_beta1 * (dW - m);
        v += one_minus_beta2 * (dW * dW - v);
        W -= lr_t * m / (sqrt(v) + epsilon);
    }
};

// dW += weight_decay * W.
template <typename T, typename Inner, bool ALL> struct Decayed : Inner {
    static constexpr int NUMBERS = Inner::NUMBERS + 1;
    const T weight_decay;
    __device__ explicit Decayed(const T* numbers) : Inner(numbers + 1), weight_decay(numbers[0]) {}
    __device__ void operator()(T& W, T dW, T* state, bool is_weight) const {
        if (ALL || is_weight) dW += weight_decay * W;
        Inner::operator()(W, dW, state, is_weight);
    }
};

// W -= lr * weight_decay * W, before the rule acts.
template <typename T, typename Inner, bool ALL> struct Decoupled : Inner {
    static constexpr int NUMBERS = Inner::NUMBERS + 2;
    const T share;
    __device__ explicit Decoupled(const T* numbers)
        : Inner(numbers + 2), share(numbers[0] * numbers[1]) {}
    __device__ void operator()(T& W, T dW, T* state, bool is_weight) const {
        if (ALL || is_weight) W -= share * W;
        Inner::operator()(W, dW, state, is_weight);
    }
};

// Gradients are multiplied by min(1, clip_norm / (norm + epsilon)) first.
template <typename T, typename Inner> struct Clipped : Inner {
    using Within = Inner;
    static constexpr int NUMBERS = Inner::NUMBERS + 1;
    static constexpr bool CLIPS = true;
    const T clip_norm;
    __device__ explicit Clipped(const T* numbers) : Inner(numbers + 1), clip_norm(numbers[0]) {}
};

// min(1, most / (norm + epsilon)), of the sum of all squares; NaN stays.
__device__ inline double clip_factor_of(double squares, double most, double epsilon) {
    const double ratio = most / (sqrt(squares) + epsilon);
    return ratio > 1 ? 1 : ratio;
}

// The loss has weight_decay / 2 * sum(W**2) over all weights in it, and the gradient that of it.
template <typename T, typename Inner> struct Penalised : Inner {
    static constexpr int NUMBERS = Inner::NUMBERS + 1;
    static constexpr bool PENALISES = true;
    const T penalty;
    __device__ explicit Penalised(const T* numbers) : Inner(numbers + 1), penalty(numbers[0]) {}
    __device__ T whole(T W, T dW, bool is_weight) const {
        return is_weight ? dW + penalty * W : dW;
    }
};
