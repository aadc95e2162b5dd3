"""The measured networks in PyTorch, as the peer of trainer/models: the same
architectures, the same number of trained parameters, the same loss.

Names of parameters follow ours, apart from layouts: `load` turns
convolutions [kh,kw,in,out] into [out,in,kh,kw] and linear maps [in,out] into
their transpose; gates of an LSTM are i, f, g, o on both sides.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F


def conv(i, o, k, stride=1, groups=1):
    return nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False)


class BlockA(nn.Module):
    """Two 3x3 convolutions beside a shortcut without parameters (option A)."""

    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(i, o, 3, stride), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = conv(o, o, 3), nn.BatchNorm2d(o)
        self.stride, self.extra = stride, o - i

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)), inplace=True)
        h = self.bn2(self.conv2(h))
        if self.extra:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))
        return F.relu(h + x, inplace=True)


class ResNetSmall(nn.Module):
    def __init__(self, depth, classes=10):
        super().__init__()
        n = (depth - 2) // 6
        self.conv1, self.bn1 = conv(3, 16, 3), nn.BatchNorm2d(16)
        i = 16
        for stage in (1, 2, 3):
            o = 8 << stage
            blocks = []
            for b in range(n):
                blocks.append(BlockA(i, o, 2 if stage > 1 and b == 0 else 1))
                i = o
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(i, classes)

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)), inplace=True)
        h = self.layer3(self.layer2(self.layer1(h)))
        return self.fc(h.mean((2, 3)))


class Basic(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(i, o, 3, stride), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = conv(o, o, 3), nn.BatchNorm2d(o)
        self.downsample = None
        if i != o:
            self.downsample = nn.Sequential(conv(i, o, 1, stride), nn.BatchNorm2d(o))

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)), inplace=True)
        h = self.bn2(self.conv2(h))
        if self.downsample is not None:
            x = self.downsample(x)
        return F.relu(h + x, inplace=True)


class ResNet18(nn.Module):
    """The form for small images: a 3x3 stem, no pooling."""

    def __init__(self, classes=10):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64, 3), nn.BatchNorm2d(64)
        i = 64
        for stage in range(4):
            o = 64 << stage
            blocks = []
            for b in range(2):
                blocks.append(Basic(i, o, 2 if stage > 0 and b == 0 else 1))
                i = o
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(i, classes)

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)), inplace=True)
        h = self.layer4(self.layer3(self.layer2(self.layer1(h))))
        return self.fc(h.mean((2, 3)))


class PreBlock(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(i), conv(i, o, 3, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(o), conv(o, o, 3)
        self.shortcut = conv(i, o, 1, stride) if i != o else None

    def forward(self, x):
        a = F.relu(self.bn1(x), inplace=True)
        h = self.conv1(a)
        h = self.conv2(F.relu(self.bn2(h), inplace=True))
        return h + (x if self.shortcut is None else self.shortcut(a))


class WideResNet(nn.Module):
    def __init__(self, depth, k, classes=10):
        super().__init__()
        self.conv1 = conv(3, 16, 3)
        i = 16
        for stage in (1, 2, 3):
            o = 8 * k << stage
            blocks = []
            for b in range((depth - 4) // 6):
                blocks.append(PreBlock(i, o, 2 if stage > 1 and b == 0 else 1))
                i = o
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.bn, self.fc = nn.BatchNorm2d(i), nn.Linear(i, classes)

    def forward(self, x):
        h = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        h = F.relu(self.bn(h), inplace=True)
        return self.fc(h.mean((2, 3)))


class ConvNorm(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.conv, self.bn = conv(i, o, 3), nn.BatchNorm2d(o)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)), inplace=True)


class VGG11(nn.Module):
    plan = ((64,), (128,), (256, 256), (512, 512), (512, 512))

    def __init__(self, classes=10):
        super().__init__()
        self.features = nn.ModuleList()
        i = 3
        for widths in self.plan:
            for o in widths:
                self.features.append(ConvNorm(i, o))
                i = o
        self.classifier = nn.Linear(i, classes)

    def forward(self, x):
        layers = iter(self.features)
        for widths in self.plan:
            for _ in widths:
                x = next(layers)(x)
            x = F.max_pool2d(x, 2)
        return self.classifier(x.mean((2, 3)))


class Separable(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(i, i, 3, stride, groups=i), nn.BatchNorm2d(i)
        self.conv2, self.bn2 = conv(i, o, 1), nn.BatchNorm2d(o)

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(h)), inplace=True)


class MobileNet(nn.Module):
    plan = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1),
            (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1))

    def __init__(self, classes=10):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 32, 3), nn.BatchNorm2d(32)
        self.layers = nn.ModuleList()
        i = 32
        for o, stride in self.plan:
            self.layers.append(Separable(i, o, stride))
            i = o
        self.linear = nn.Linear(i, classes)

    def forward(self, x):
        h = F.relu(self.bn1(self.conv1(x)), inplace=True)
        for l in self.layers:
            h = l(h)
        return self.linear(h.mean((2, 3)))


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.out = nn.Linear(784, 1024), nn.Linear(1024, 1024), nn.Linear(1024, 10)

    def forward(self, x):
        h = F.relu(self.fc1(x.flatten(1)), inplace=True)
        return self.out(F.relu(self.fc2(h), inplace=True))


class LSTM(nn.Module):
    """Tokens [T,B]: time first, the layout that PyTorch is fastest in. Of
    PyTorch's two biases a gate one stays zero."""

    def __init__(self, vocab=10000, dim=200, layers=2):
        super().__init__()
        self.embedding = nn.Embedding(vocab, dim)
        self.lstm = nn.LSTM(dim, dim, layers)
        self.out = nn.Linear(dim, vocab)
        for l in range(layers):
            bias = getattr(self.lstm, f"bias_hh_l{l}")
            nn.init.zeros_(bias)
            bias.requires_grad = False

    def forward(self, tokens):
        h, _ = self.lstm(self.embedding(tokens))
        return self.out(h).flatten(0, 1)


class Attention(nn.Module):
    def __init__(self, d, heads, context):
        super().__init__()
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.heads = heads
        mask = torch.full((context, context), -math.inf).triu(1)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        n = b * self.heads
        q, k, v = (z.reshape(n, t, -1) for z in (q, k, v))
        scores = torch.baddbmm(self.mask.expand(n, t, t), q, k.transpose(1, 2), alpha=(d // self.heads) ** -0.5)
        o = torch.bmm(scores.softmax(-1), v).view(b, self.heads, t, -1)
        return self.proj(o.transpose(1, 2).reshape(b, t, d))


class Layer(nn.Module):
    def __init__(self, d, heads, context):
        super().__init__()
        self.ln1, self.attn = nn.LayerNorm(d), Attention(d, heads, context)
        self.ln2 = nn.LayerNorm(d)
        self.mlp = nn.ModuleDict({"fc": nn.Linear(d, 4 * d), "proj": nn.Linear(4 * d, d)})

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        h = F.gelu(self.mlp["fc"](self.ln2(x)), approximate="tanh")
        return x + self.mlp["proj"](h)


class Transformer(nn.Module):
    def __init__(self, vocab=65, d=128, layers=4, heads=4, context=128):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, d), nn.Parameter(torch.zeros(context, d))
        self.h = nn.ModuleList(Layer(d, heads, context) for _ in range(layers))
        self.ln, self.head = nn.LayerNorm(d), nn.Linear(d, vocab)

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe
        for l in self.h:
            x = l(x)
        return self.head(self.ln(x)).flatten(0, 1)


# name: (constructor, trained parameters, usual batch)
MODELS = {
    "resnet-20": (lambda: ResNetSmall(20), 269_722, 128),
    "resnet-18": (ResNet18, 11_173_962, 128),
    "wrn-16-2": (lambda: WideResNet(16, 2), 691_674, 128),
    "vgg-11": (VGG11, 9_228_362, 128),
    "mobilenet": (MobileNet, 3_217_226, 128),
    "mlp": (MLP, 1_863_690, 128),
    "lstm": (LSTM, 4_651_600, 20),
    "transformer": (Transformer, 826_433, 32),
}
VOCAB = {"lstm": (10000, 35), "transformer": (65, 128)}


def build(name):
    make, want, _ = MODELS[name]
    model = make()
    got = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert got == want, f"{name}: {got} parameters, want {want}"
    return model.train()


def batch(name, n):
    """Synthetic inputs and targets of n samples."""
    if name in VOCAB:
        vocab, t = VOCAB[name]
        shape = (t, n) if name == "lstm" else (n, t)
        return torch.randint(vocab, shape), torch.randint(vocab, (t * n,))
    shape = (n, 1, 28, 28) if name == "mlp" else (n, 3, 32, 32)
    return torch.randn(shape), torch.randint(10, (n,))


def optimizer(model, lr=0.02):
    params = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.SGD(params, lr=lr, momentum=0.9, weight_decay=1e-4)


def step(model, opt, x, y):
    opt.zero_grad(set_to_none=True)
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    opt.step()
    return loss


def named(model, tensors):
    """Pairs of a parameter's name and our tensor for it in PyTorch's layout;
    every trained parameter has one."""
    params = dict(model.named_parameters())
    pairs = []
    for name, w in tensors.items():
        if name in ("x", "y"):
            continue
        if name.startswith("lstm"):  # lstm0.ih.weight -> lstm.weight_ih_l0
            layer, part, kind = name.split(".")
            name = f"lstm.{kind}_{part}_l{layer[4:]}"
        if name == "wpe.weight":
            name = "wpe"
        if w.dim() == 4:
            w = w.permute(3, 2, 0, 1)
        elif w.dim() == 2 and not name.startswith(("embedding", "wte", "wpe")):
            w = w.t()
        p = params[name]
        assert p.shape == w.shape, f"{name}: {tuple(p.shape)} here, {tuple(w.shape)} there"
        pairs.append((name, w))
    left = {n for n, p in params.items() if p.requires_grad} - {n for n, _ in pairs}
    assert not left, f"without values: {sorted(left)}"
    return pairs


def load(model, tensors):
    """Copies our parameters into a model."""
    params = dict(model.named_parameters())
    for name, w in named(model, tensors):
        params[name].data.copy_(w)
