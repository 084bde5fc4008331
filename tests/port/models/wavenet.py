"""Dilated causal convolutions, as such code was written for TensorFlow 1."""
from functools import partial

import numpy as np
import tensorflow.compat.v1 as tf


def create_variable(name, shape):
    """Create a convolution filter variable with the specified name and shape."""
    initializer = tf.glorot_uniform_initializer()
    return tf.get_variable(name, shape, initializer=initializer)


def create_bias_variable(name, shape):
    initializer = tf.constant_initializer(value=0.0, dtype=tf.float32)
    return tf.get_variable(name, shape, tf.float32, initializer)


def time_to_batch(value, dilation, name=None):
    with tf.name_scope('time_to_batch'):
        shape = tf.shape(value)
        pad_elements = dilation - 1 - (shape[1] + dilation - 1) % dilation
        padded = tf.pad(value, [[0, 0], [0, pad_elements], [0, 0]])
        reshaped = tf.reshape(padded, [-1, dilation, shape[2]])
        transposed = tf.transpose(reshaped, perm=[1, 0, 2])
        return tf.reshape(transposed, [shape[0] * dilation, -1, shape[2]])


def batch_to_time(value, dilation, name=None):
    with tf.name_scope('batch_to_time'):
        shape = tf.shape(value)
        prepared = tf.reshape(value, [dilation, -1, shape[2]])
        transposed = tf.transpose(prepared, perm=[1, 0, 2])
        return tf.reshape(transposed, [tf.div(shape[0], dilation), -1, shape[2]])


def causal_conv(value, filter_, dilation, name='causal_conv'):
    with tf.name_scope(name):
        filter_width = tf.shape(filter_)[0]
        if dilation > 1:
            transformed = time_to_batch(value, dilation)
            conv = tf.nn.conv1d(transformed, filter_, stride=1, padding='VALID')
            restored = batch_to_time(conv, dilation)
        else:
            restored = tf.nn.conv1d(value, filter_, stride=1, padding='VALID')
        # Remove excess elements at the end.
        out_width = tf.shape(value)[1] - (filter_width - 1) * dilation
        result = tf.slice(restored, [0, 0, 0], [-1, out_width, -1])
        return result


def mu_law_encode(audio, quantization_channels):
    """Quantizes waveform amplitudes."""
    with tf.name_scope('encode'):
        mu = tf.to_float(quantization_channels - 1)
        # Perform mu-law companding transformation (ITU-T, 1988).
        # Minimum operation is here to deal with rare large amplitudes caused by resampling.
        safe_audio_abs = tf.minimum(tf.abs(audio), 1.0)
        magnitude = tf.log1p(mu * safe_audio_abs) / tf.log1p(mu)
        signal = tf.sign(audio) * magnitude
        # Quantize signal to the specified number of levels.
        return tf.to_int32((signal + 1) / 2 * mu + 0.5)


class WaveNetModel(object):
    def __init__(self, batch_size, dilations, filter_width, residual_channels, dilation_channels,
                 skip_channels, quantization_channels=2**4, use_biases=True, histograms=False):
        self.batch_size = batch_size
        self.dilations = dilations
        self.filter_width = filter_width
        self.residual_channels = residual_channels
        self.dilation_channels = dilation_channels
        self.quantization_channels = quantization_channels
        self.use_biases = use_biases
        self.skip_channels = skip_channels
        self.histograms = histograms
        self.receptive_field = (filter_width - 1) * sum(dilations) + filter_width
        self.variables = self._create_variables()

    def _create_variables(self):
        """This function creates all variables used by the network."""
        var = dict()
        with tf.variable_scope('wavenet'):
            with tf.variable_scope('causal_layer'):
                var['causal_layer'] = create_variable(
                    'filter', [self.filter_width, self.quantization_channels, self.residual_channels])
            var['dilated_stack'] = list()
            with tf.variable_scope('dilated_stack'):
                for i, dilation in enumerate(self.dilations):
                    with tf.variable_scope('layer{}'.format(i)):
                        current = dict()
                        make = partial(create_variable)
                        current['filter'] = make(
                            'filter', [self.filter_width, self.residual_channels, self.dilation_channels])
                        current['gate'] = make(
                            'gate', [self.filter_width, self.residual_channels, self.dilation_channels])
                        current['dense'] = make('dense', [1, self.dilation_channels, self.residual_channels])
                        current['skip'] = make('skip', [1, self.dilation_channels, self.skip_channels])
                        if self.use_biases:
                            current['filter_bias'] = create_bias_variable('filter_bias', [self.dilation_channels])
                            current['gate_bias'] = create_bias_variable('gate_bias', [self.dilation_channels])
                        var['dilated_stack'].append(current)
            with tf.variable_scope('postprocessing'):
                current = dict()
                current['postprocess1'] = create_variable('postprocess1', [1, self.skip_channels, self.skip_channels])
                current['postprocess2'] = create_variable(
                    'postprocess2', [1, self.skip_channels, self.quantization_channels])
                var['postprocessing'] = current
        return var

    def _create_dilation_layer(self, input_batch, layer_index, dilation, output_width):
        variables = self.variables['dilated_stack'][layer_index]
        conv_filter = causal_conv(input_batch, variables['filter'], dilation)
        conv_gate = causal_conv(input_batch, variables['gate'], dilation)
        if self.use_biases:
            conv_filter = tf.add(conv_filter, variables['filter_bias'])
            conv_gate = tf.add(conv_gate, variables['gate_bias'])
        out = tf.tanh(conv_filter) * tf.sigmoid(conv_gate)
        # The 1x1 conv to produce the residual output
        transformed = tf.nn.conv1d(out, variables['dense'], stride=1, padding="SAME", name="dense")
        # The 1x1 conv to produce the skip output
        skip_cut = tf.shape(out)[1] - output_width
        out_skip = tf.slice(out, [0, skip_cut, 0], [-1, -1, -1])
        skip_contribution = tf.nn.conv1d(out_skip, variables['skip'], stride=1, padding="SAME", name="skip")
        if self.histograms:
            layer = 'layer{}'.format(layer_index)
            tf.histogram_summary(layer + '_filter', variables['filter'])
        input_cut = tf.shape(input_batch)[1] - tf.shape(transformed)[1]
        input_batch = tf.slice(input_batch, [0, input_cut, 0], [-1, -1, -1])
        return skip_contribution, input_batch + transformed

    def _create_network(self, input_batch):
        outputs = []
        current_layer = causal_conv(input_batch, self.variables['causal_layer'], 1)
        output_width = tf.shape(input_batch)[1] - self.receptive_field + 1
        with tf.name_scope('dilated_stack'):
            for layer_index, dilation in enumerate(self.dilations):
                with tf.name_scope('layer{}'.format(layer_index)):
                    output, current_layer = self._create_dilation_layer(
                        current_layer, layer_index, dilation, output_width)
                    outputs.append(output)
        with tf.name_scope('postprocessing'):
            w1 = self.variables['postprocessing']['postprocess1']
            w2 = self.variables['postprocessing']['postprocess2']
            total = sum(outputs)
            transformed1 = tf.nn.relu(total)
            conv1 = tf.nn.conv1d(transformed1, w1, stride=1, padding="SAME")
            transformed2 = tf.nn.relu(conv1)
            conv2 = tf.nn.conv1d(transformed2, w2, stride=1, padding="SAME")
        return conv2

    def _one_hot(self, input_batch):
        with tf.name_scope('one_hot_encode'):
            encoded = tf.one_hot(input_batch, depth=self.quantization_channels, dtype=tf.float32)
            shape = [self.batch_size, -1, self.quantization_channels]
            encoded = tf.reshape(encoded, shape)
        return encoded

    def predict(self, audio):
        encoded_input = mu_law_encode(audio, self.quantization_channels)
        encoded = self._one_hot(encoded_input)
        raw_output = self._create_network(encoded)
        out = tf.reshape(raw_output, [-1, self.quantization_channels])
        # Cast to float64 to avoid bug in TensorFlow
        proba = tf.cast(tf.nn.softmax(tf.cast(out, tf.float64)), tf.float32)
        return proba

    def loss(self, audio, l2_regularization_strength=None, name='wavenet'):
        with tf.name_scope(name):
            encoded_input = mu_law_encode(audio, self.quantization_channels)
            encoded = self._one_hot(encoded_input)
            # Cut off the last sample of network input to preserve causality.
            network_input_width = tf.shape(encoded)[1] - 1
            network_input = tf.slice(encoded, [0, 0, 0], [-1, network_input_width, -1])
            raw_output = self._create_network(network_input)
            with tf.name_scope('loss'):
                # Cut off the samples corresponding to the receptive field for the first predicted sample.
                target_output = tf.slice(
                    tf.reshape(encoded, [self.batch_size, -1, self.quantization_channels]),
                    [0, self.receptive_field, 0], [-1, -1, -1])
                target_output = tf.reshape(target_output, [-1, self.quantization_channels])
                prediction = tf.reshape(raw_output, [-1, self.quantization_channels])
                loss = tf.nn.softmax_cross_entropy_with_logits(logits=prediction, labels=target_output)
                reduced_loss = tf.reduce_mean(loss)
                tf.summary.scalar('loss', reduced_loss)
                if l2_regularization_strength is None:
                    return reduced_loss
                else:
                    l2_loss = tf.add_n([tf.nn.l2_loss(v) for v in tf.trainable_variables()
                                        if not('bias' in v.name)])
                    total_loss = (reduced_loss + l2_regularization_strength * l2_loss)
                    return total_loss


def network():
    return WaveNetModel(2, [1, 2, 4, 1, 2], 2, 6, 5, 7)


def predict(audio):
    return network().predict(audio)


def loss(audio):
    return network().loss(audio, 1e-3)
