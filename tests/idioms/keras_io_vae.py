"""keras.io's variational autoencoder (examples/generative/vae) on this package."""

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers

from keras_vae import VAE, load

x = keras.Input((28, 28, 1))
h = layers.Conv2D(32, 3, activation="relu", strides=2, padding="same")(x)
h = layers.Conv2D(64, 3, activation="relu", strides=2, padding="same")(h)
h = layers.Dense(16, activation="relu")(layers.Flatten()(h))
# no sampling layer: VAE draws z itself
encoder = keras.Model(x, [layers.Dense(2)(h), layers.Dense(2)(h)])  # mean, log_var

z = keras.Input((2,))
h = layers.Reshape((7, 7, 64))(layers.Dense(7 * 7 * 64, activation="relu")(z))
h = layers.Conv2DTranspose(64, 3, activation="relu", strides=2, padding="same")(h)
h = layers.Conv2DTranspose(32, 3, activation="relu", strides=2, padding="same")(h)
# no sigmoid: the likelihood takes logits
decoder = keras.Model(z, layers.Conv2DTranspose(1, 3, padding="same")(h))

digits = load("auto")  # MNIST, or 5,000 digits of it without a download
vae = VAE(encoder, decoder)
vae.compile(keras.optimizers.Adam())
vae.fit(digits.train.images, epochs=30, batch_size=128)

axis = np.linspace(-1, 1, 30)  # the plane of latents, the first one to the right
points = np.stack(np.meshgrid(axis, axis[::-1]), axis=-1).reshape(-1, 2)
plane = vae.decode(points).reshape(30, 30, 28, 28).swapaxes(1, 2).reshape(840, 840)
plt.imsave("latent_plane.png", plane, cmap="gray")

mean = vae.encode(digits.train.images)  # where the digits lie in that plane
plt.scatter(*mean.T, c=digits.train.labels, s=2)
plt.colorbar()
plt.savefig("label_clusters.png")
