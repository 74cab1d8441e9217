"""The training of the book's chapter 5.7.4 by `fastnn.fit`, in 17 epochs (10,200 steps)."""

from fastnn import SGD, TwoLayerNet, fit
from fastnn.datasets import load_mnist

(x_train, t_train), (x_test, t_test) = load_mnist()

network = TwoLayerNet(input_size=784, hidden_size=50, output_size=10)

history = fit(
    network,
    x_train,
    t_train,
    epochs=17,
    batch_size=100,
    optimizer=SGD(lr=0.1),
    validation=(x_test, t_test),
    progress=False,
)

for train_acc, test_acc in zip(
    history.train_accuracies, history.validation_accuracies, strict=True
):
    print(train_acc, test_acc)
