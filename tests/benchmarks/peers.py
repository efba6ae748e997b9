"""The same VAE, 784-400-20-400-784, as others would train it.

Each function is a contender (see `interleave`): it trains for ever on uint8 images
(N, H, W, C), in float32 with Adam 1e-3, on every image once an epoch, from Glorot's
initial weights, and gives `done` the epoch's mean loss in nats per image.
"""

import numpy as np

from keras_vae.cli import start_tensorflow
from tests.benchmarks.interleave import bench_extra

HIDDEN, LATENT, LEARNING_RATE = 400, 20, 1e-3


def stock_keras(images, batch_size, done):
    """As on keras.io: a `train_step` of one's own, and `fit` on the float array."""
    start_tensorflow()
    import keras
    import tensorflow as tf
    from keras import layers, ops

    keras.utils.set_random_seed(0)
    images = images.reshape(len(images), -1).astype("float32") / 255
    pixels = images.shape[1]

    class Sampling(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.seed_generator = keras.random.SeedGenerator(0)

        def call(self, inputs):
            mean, log_var = inputs
            noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
            return mean + ops.exp(0.5 * log_var) * noise

    x = keras.Input((pixels,))
    h = layers.Dense(HIDDEN, activation="relu")(x)
    mean = layers.Dense(LATENT, name="mean")(h)
    log_var = layers.Dense(LATENT, name="log_var")(h)
    encoder = keras.Model(x, [mean, log_var, Sampling()([mean, log_var])])

    z = keras.Input((LATENT,))
    h = layers.Dense(HIDDEN, activation="relu")(z)
    decoder = keras.Model(z, layers.Dense(pixels, activation="sigmoid")(h))

    class VAE(keras.Model):
        def __init__(self, encoder, decoder, **kwargs):
            super().__init__(**kwargs)
            self.encoder = encoder
            self.decoder = decoder
            self.loss_tracker = keras.metrics.Mean(name="loss")
            self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction_loss")
            self.kl_tracker = keras.metrics.Mean(name="kl_loss")

        @property
        def metrics(self):
            return [self.loss_tracker, self.reconstruction_tracker, self.kl_tracker]

        def train_step(self, data):
            with tf.GradientTape() as tape:
                mean, log_var, z = self.encoder(data)
                reconstruction_loss = ops.mean(
                    pixels * keras.losses.binary_crossentropy(data, self.decoder(z))
                )
                kl_loss = -0.5 * (1 + log_var - ops.square(mean) - ops.exp(log_var))
                kl_loss = ops.mean(ops.sum(kl_loss, axis=1))
                loss = reconstruction_loss + kl_loss
            gradients = tape.gradient(loss, self.trainable_weights)
            self.optimizer.apply_gradients(
                zip(gradients, self.trainable_weights, strict=True)
            )
            self.loss_tracker.update_state(loss)
            self.reconstruction_tracker.update_state(reconstruction_loss)
            self.kl_tracker.update_state(kl_loss)
            return {metric.name: metric.result() for metric in self.metrics}

    vae = VAE(encoder, decoder)
    vae.compile(keras.optimizers.Adam(LEARNING_RATE))  # on a CPU: without XLA
    done()
    vae.fit(
        images,
        batch_size=batch_size,
        epochs=10**9,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_end=lambda epoch, logs: done(float(logs["loss"]))
            )
        ],
    )


def _torch_vae(torch, pixels):
    """The model of pytorch/examples/vae/main.py, on logits, with Glorot's weights."""
    nn, functional = torch.nn, torch.nn.functional

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(pixels, HIDDEN)
            self.fc21 = nn.Linear(HIDDEN, LATENT)
            self.fc22 = nn.Linear(HIDDEN, LATENT)
            self.fc3 = nn.Linear(LATENT, HIDDEN)
            self.fc4 = nn.Linear(HIDDEN, pixels)
            for layer in self.children():
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

        def forward(self, x):
            h = functional.relu(self.fc1(x))
            mean, log_var = self.fc21(h), self.fc22(h)
            std = torch.exp(0.5 * log_var)
            z = mean + torch.randn_like(std) * std
            return self.fc4(functional.relu(self.fc3(z))), mean, log_var

    torch.manual_seed(0)
    return VAE()


def textbook_torch(images, batch_size, done):
    """As pytorch/examples trains it: torchvision's MNIST, `ToTensor`, a DataLoader."""
    torch = bench_extra("torch")
    torchvision = bench_extra("torchvision")
    functional = torch.nn.functional
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    class Images(torchvision.datasets.MNIST):
        """The data set of torchvision, but for the files, which it would download."""

        def __init__(self):
            self.data = torch.from_numpy(images.squeeze(-1))
            self.targets = torch.zeros(len(images), dtype=torch.int64)
            self.transform = torchvision.transforms.ToTensor()
            self.target_transform = None

    loader = torch.utils.data.DataLoader(Images(), batch_size, shuffle=True)
    pixels = images[0].size
    model = _torch_vae(torch, pixels).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    done()
    while True:
        train_loss = 0.0
        for x, _ in loader:
            x = x.to(device).view(-1, pixels)
            optimizer.zero_grad()
            logits, mean, log_var = model(x)
            bce = functional.binary_cross_entropy(
                torch.sigmoid(logits), x, reduction="sum"
            )
            kl = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
            loss = bce + kl
            loss.backward()
            train_loss += loss.item()
            optimizer.step()
        done(train_loss / len(images))


def tuned_torch(images, batch_size, done):
    """Data in memory, batches by index, loss from logits, Adam in one operation."""
    _tuned_torch(images, batch_size, done, compiled=False)


def compiled_torch(images, batch_size, done):
    """`tuned_torch` with `torch.compile`; on a GPU with CUDA graphs."""
    _tuned_torch(images, batch_size, done, compiled=True)


def _tuned_torch(images, batch_size, done, compiled):
    torch = bench_extra("torch")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = torch.from_numpy(images.reshape(len(images), -1)).to(device)  # uint8
    model = _torch_vae(torch, data.shape[1]).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=True)

    def loss_of(x):
        x = x.float() / 255
        logits, mean, log_var = model(x)
        bce = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, x, reduction="sum"
        )
        kl = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
        return (bce + kl) / len(x)

    if compiled:
        mode = "reduce-overhead" if device.type == "cuda" else "default"
        loss_of = torch.compile(loss_of, mode=mode, dynamic=False)
    done()
    while True:
        total = torch.zeros((), device=device)
        for rows in torch.randperm(len(data), device=device).split(batch_size):
            loss = loss_of(data[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        done(total.item() / len(data))


def jax_scan(images, batch_size, done):
    """By hand: an epoch is one `lax.scan` over the steps, with Adam written out."""
    jax = bench_extra("jax")
    jnp = jax.numpy
    number, pixels = len(images), images[0].size
    data = jnp.asarray(images.reshape(number, pixels))  # uint8, on the device
    steps = -(-number // batch_size)

    def dense(key, inputs, outputs):
        limit = np.sqrt(6 / (inputs + outputs))
        weights = jax.random.uniform(
            key, (inputs, outputs), minval=-limit, maxval=limit
        )
        return weights, jnp.zeros(outputs)

    keys = jax.random.split(jax.random.key(0), 4)
    shapes = (pixels, HIDDEN), (HIDDEN, 2 * LATENT), (LATENT, HIDDEN), (HIDDEN, pixels)
    params = [dense(key, *shape) for key, shape in zip(keys, shapes, strict=True)]

    def loss_of(params, x, weight, noise):
        (w1, b1), (w2, b2), (w3, b3), (w4, b4) = params
        h = jax.nn.relu(x @ w1 + b1)
        mean, log_var = jnp.split(h @ w2 + b2, 2, axis=1)
        z = mean + jnp.exp(0.5 * log_var) * noise
        logits = jax.nn.relu(z @ w3 + b3) @ w4 + b4
        bce = jnp.sum(jax.nn.softplus(logits) - x * logits, axis=1)
        kl = -0.5 * jnp.sum(1 + log_var - mean**2 - jnp.exp(log_var), axis=1)
        return jnp.sum(weight * (bce + kl)) / jnp.sum(weight)

    def step(state, batch):
        params, first, second, count, key = state
        rows, weight = batch
        key, now = jax.random.split(key)
        x = data[rows].astype(jnp.float32) / 255
        noise = jax.random.normal(now, (batch_size, LATENT))
        loss, gradients = jax.value_and_grad(loss_of)(params, x, weight, noise)
        count += 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradients)
        rate = LEARNING_RATE * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        params = jax.tree.map(
            lambda p, m, v: p - rate * m / (jnp.sqrt(v) + 1e-7), params, first, second
        )
        return (params, first, second, count, key), loss * jnp.sum(weight)

    @jax.jit
    def epoch(state, rows, weight):
        state, losses = jax.lax.scan(step, state, (rows, weight))
        return state, jnp.sum(losses) / number

    zeros = jax.tree.map(jnp.zeros_like, params)
    state = (params, zeros, zeros, jnp.float32(0), jax.random.key(1))
    shuffle = np.random.default_rng(0)
    padding = steps * batch_size - number  # the last batch is filled up, with weight 0
    weight = np.pad(np.ones(number, np.float32), [0, padding])
    done()
    while True:
        rows = np.pad(shuffle.permutation(number), [0, padding]).astype(np.int32)
        state, loss = epoch(state, rows.reshape(steps, -1), weight.reshape(steps, -1))
        done(float(loss))
