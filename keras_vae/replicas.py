"""What a step must know of the other replicas that do the same one.

On several devices each replica has its rows of the global batch and a copy of the
weights (`keras_vae.training.strategy`). Its step is that of one device, whatever their
number, because

    noise    is that of the global batch, of which a replica draws its own elements
    means    are over the images of all replicas, for the optimizer *sums* gradients
    metrics  are kept by each replica, and summed where they are read

Outside of such a step there is one replica, and nothing here costs anything.
"""

import tensorflow as tf


def num_replicas() -> int:
    """Replicas of the step that is being traced; 1 outside of any."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def total(value):
    """The sum of a tensor over the replicas.

    Its gradient is summed, too: that of a loss of which each replica has a part.
    """
    if num_replicas() == 1:
        return value
    return tf.distribute.get_replica_context().all_reduce("SUM", value)


def elements(shape, axis: int | None):
    """The place of each element of a tensor in that of the global batch.

    Args:
        shape: of the tensor that a replica has, ints or int32 scalars.
        axis: int, that of the images; None for a tensor which all replicas have alike.

    Returns:
        int32 of `shape`, places in the flattened global tensor, and how many that has.

    Example:
        >>> places, number = elements((2, 3), axis=0)
        >>> places.numpy().tolist(), int(number)
        ([[0, 1, 2], [3, 4, 5]], 6)
    """
    number = tf.reduce_prod(shape)
    places = tf.reshape(tf.range(number), shape)
    if axis is None or (replicas := num_replicas()) == 1:
        return places, number
    inner = tf.reduce_prod(shape[axis:])  # elements of this replica in one piece
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    before = places // inner * (replicas - 1) + tf.cast(replica, tf.int32)
    return places + before * inner, replicas * number
