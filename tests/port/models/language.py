"""Language models by LSTM and by GRU, as such code was written for TensorFlow 1."""
import tensorflow as tf
from tensorflow.contrib import rnn


class Model():
    def __init__(self, args, input_data, targets, training=True):
        self.args = args
        if not training:
            args.seq_length = input_data.get_shape()[1].value

        # choose different rnn cell
        if args.model == 'gru':
            cell_fn = rnn.GRUCell
        elif args.model == 'lstm':
            cell_fn = rnn.BasicLSTMCell
        elif args.model == 'peephole':
            cell_fn = lambda size: rnn.LSTMCell(size, use_peepholes=True, num_proj=size)
        else:
            raise Exception("model type not supported: {}".format(args.model))

        cells = []
        for _ in range(args.num_layers):
            cell = cell_fn(args.rnn_size)
            if training and (args.output_keep_prob < 1.0 or args.input_keep_prob < 1.0):
                cell = rnn.DropoutWrapper(cell,
                                          input_keep_prob=args.input_keep_prob,
                                          output_keep_prob=args.output_keep_prob)
            cells.append(cell)
        self.cell = cell = rnn.MultiRNNCell(cells, state_is_tuple=True)
        self.initial_state = cell.zero_state(args.batch_size, tf.float32)

        with tf.variable_scope('rnnlm'):
            softmax_w = tf.get_variable("softmax_w", [args.rnn_size, args.vocab_size])
            softmax_b = tf.get_variable("softmax_b", [args.vocab_size])

        with tf.device("/cpu:0"):
            embedding = tf.get_variable("embedding", [args.vocab_size, args.rnn_size])
            inputs = tf.nn.embedding_lookup(embedding, input_data)

        # dropout beta testing: double check which one should affect next line
        if training and args.output_keep_prob < 1.0:
            inputs = tf.nn.dropout(inputs, args.output_keep_prob)

        if args.static:
            inputs = tf.split(inputs, args.seq_length, 1)
            inputs = [tf.squeeze(input_, [1]) for input_ in inputs]
            outputs = []
            state = self.initial_state
            with tf.variable_scope('rnnlm'):
                for i, inp in enumerate(inputs):
                    if i > 0:
                        tf.get_variable_scope().reuse_variables()
                    out, state = cell(inp, state)
                    outputs.append(out)
            last_state = state
            output = tf.reshape(tf.concat(outputs, 1), [-1, args.rnn_size])
        else:
            lengths = args.lengths
            outputs, last_state = tf.nn.dynamic_rnn(
                cell, inputs, sequence_length=lengths, initial_state=self.initial_state, scope='dynamic')
            output = tf.reshape(outputs, [-1, args.rnn_size])

        # output layer
        self.logits = tf.matmul(output, softmax_w) + softmax_b
        self.probs = tf.nn.softmax(self.logits)

        # loss is calculate by the log loss and taking the average.
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            logits=self.logits, labels=tf.reshape(targets, [-1]))
        with tf.name_scope('cost'):
            self.cost = tf.reduce_sum(losses) / args.batch_size / args.seq_length
        self.final_state = last_state
        self.lr = 0.0
        tvars = tf.trainable_variables()
        self.norm = tf.add_n([tf.nn.l2_loss(v) for v in tvars if 'softmax_b' not in v.name])
        tf.summary.histogram('logits', self.logits)
        tf.summary.scalar('train_loss', self.cost)


class Args(object):
    def __init__(self, model, static, lengths=None):
        self.model = model
        self.static = static
        self.lengths = lengths
        self.num_layers = 2
        self.rnn_size = 6
        self.vocab_size = 9
        self.batch_size = 3
        self.seq_length = 5
        self.output_keep_prob = 1.0
        self.input_keep_prob = 1.0


def read(ids, targets, lengths, training=False):
    out = {}
    for name, static in (('lstm', True), ('gru', False), ('peephole', False)):
        with tf.variable_scope(name):
            model = Model(Args(name, static, lengths), ids, targets, training)
        out[name] = model.probs
        out[name + '_cost'] = model.cost + 0.01 * model.norm
    out['gru_state'] = model.final_state[-1].h
    return out


def loss(ids, targets, lengths):
    out = read(ids, targets, lengths, training=True)
    return out['lstm_cost'] + out['gru_cost'] + out['peephole_cost']
