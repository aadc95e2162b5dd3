package data

// File is one file of a data set: what it must hold and where it is had.
type File struct {
	Name string // unpacked
	// Sum is the checksum of the unpacked bytes, "sha256:…", or "sha1:…"
	// where only that is known.
	Sum  string
	Size int64 // unpacked bytes, 0 = not known
	// Packed are SHA-256 sums of packed forms that are known to unpack to
	// Sum; they spare the unpacking.
	Packed []string
	URLs   []string // where it is served, packed or plain; tried in order
}

// Archive is a .tar.gz that holds all files of a set.
type Archive struct {
	URL    string
	SHA256 string
	Size   int64
}

// Entry tells the origin and the terms of a data set.
type Entry struct {
	Name     string
	Title    string
	Licence  string // as stated by the source
	Files    []File
	Archive  *Archive // nil: files are had one by one
	Embedded bool     // part of the binary
}

// Catalog lists the data sets that Open knows, by name. The sums of the
// unpacked bytes were computed from copies whose packed or unpacked sums equal
// those published; for MNIST and CIFAR-100 they are the published ones.
func Catalog() []Entry {
	var all []Entry
	for _, n := range Names() {
		all = append(all, catalog[n])
	}
	return all
}

const (
	fashionURL     = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
	mnistURL       = "https://storage.googleapis.com/cvdf-datasets/mnist/"
	mnistMirror    = "https://ossci-datasets.s3.amazonaws.com/mnist/"
	wikitextURL    = "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2/"
	shakespeareURL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
)

var catalog = map[string]Entry{
	"optdigits": {
		Name: "optdigits", Title: "UCI optical recognition of handwritten digits, 8x8, 10 classes",
		Licence: "CC BY 4.0", Embedded: true,
	},
	"mnist": {
		Name: "mnist", Title: "MNIST handwritten digits, 28x28, 10 classes",
		Licence: "none stated; cite LeCun, Bottou, Bengio, Haffner 1998",
		Files: mnistCatalog([4]File{
			{Sum: "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
				Packed: []string{"440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"}},
			{Sum: "sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
				Packed: []string{"3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"}},
			{Sum: "sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
				Packed: []string{"8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"}},
			{Sum: "sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
				Packed: []string{"f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"}},
		}, mnistURL, mnistMirror),
	},
	"fashion-mnist": {
		Name: "fashion-mnist", Title: "Fashion-MNIST articles of clothing, 28x28, 10 classes",
		Licence: "MIT; cite Xiao, Rasul, Vollgraf 2017",
		Files: mnistCatalog([4]File{
			{Sum: "sha256:c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
				Packed: []string{"3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
					"f46450982819e161325683178a5324fc64e606fb3758c65c6ca7dcc91aa489fd"}},
			{Sum: "sha256:bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
				Packed: []string{"a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"}},
			{Sum: "sha256:5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
				Packed: []string{"346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
					"55ec2dd7358c56fba81678bf2cd00a44de07bae64c342921600298a2b5eb517d"}},
			{Sum: "sha256:0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
				Packed: []string{"67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"}},
		}, fashionURL),
	},
	"cifar10": {
		Name: "cifar10", Title: "CIFAR-10 photographs, 32x32x3, 10 classes (binary version)",
		Licence: "none stated; cite Krizhevsky 2009",
		Archive: &Archive{URL: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz", Size: 170052171,
			SHA256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
		Files: []File{
			{Name: "data_batch_1.bin", Size: 30730000, Sum: "sha256:cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
				Packed: []string{"6bd7b1eb3bbc57e0095665f374dae8b271873ed6d6d153d19edc000d053c428e"}},
			{Name: "data_batch_2.bin", Size: 30730000, Sum: "sha256:a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
				Packed: []string{"ca5d6f81dab7d1b20869be281bac6f8aedd0b817a456a96a6a3ecbf7b80e457e"}},
			{Name: "data_batch_3.bin", Size: 30730000, Sum: "sha256:bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
				Packed: []string{"f9b3f0542c0f93667536a1eebfa4cf417c3ee9bfc63e49a74137b35cba0ad051"}},
			{Name: "data_batch_4.bin", Size: 30730000, Sum: "sha256:014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
				Packed: []string{"3e1db4cc0b7bf7623f9ce40eb72f56db0c3386ee2e7cb39bb95bbfa202f37224"}},
			{Name: "data_batch_5.bin", Size: 30730000, Sum: "sha256:755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
				Packed: []string{"4a70706a4c963f80b13feab97f994598596ee26ecfe87cdc4a6d37ab1677cc8e"}},
			{Name: "test_batch.bin", Size: 30730000, Sum: "sha256:8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
				Packed: []string{"bc432a3adb375b03ae9cffaeeae41057b8c7eb0d5fad5bed3411112fd92046b0"}},
		},
	},
	"cifar100": {
		Name: "cifar100", Title: "CIFAR-100 photographs, 32x32x3, 100 classes (binary version)",
		Licence: "none stated; cite Krizhevsky 2009",
		Archive: &Archive{URL: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz", Size: 168513733,
			SHA256: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"},
		Files: []File{
			{Name: "train.bin", Size: 50000 * 3074, Sum: "sha256:f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29"},
			{Name: "test.bin", Size: 10000 * 3074, Sum: "sha256:d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a"},
		},
	},
	"tiny-shakespeare": {
		Name: "tiny-shakespeare", Title: "Plays of Shakespeare, 1,115,394 characters",
		Licence: "text in the public domain",
		Files: []File{{Name: "input.txt", Size: 1115394, URLs: []string{shakespeareURL},
			Sum:    "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
			Packed: []string{"bed00f18e91cda6838950656f0a95e07e0f4dbe8649a4b959f7602a7e53fbc6e"}}},
	},
	"wikitext-2": {
		Name: "wikitext-2", Title: "WikiText-2, articles of Wikipedia by words",
		Licence: "CC BY-SA 3.0; cite Merity, Xiong, Bradbury, Socher 2016",
		Files: []File{
			{Name: "train.txt", URLs: []string{wikitextURL + "train.txt"},
				Sum: "sha1:863f29c46ef9d167fff4940ec821195882fe29d1"},
			{Name: "valid.txt", Size: 1121681, URLs: []string{wikitextURL + "valid.txt"},
				Sum:    "sha256:f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
				Packed: []string{"3ac34ae2b6509075d52302c50a04a8a1970739ffe1a904f2cd374fefbea3cbf2"}},
			{Name: "test.txt", Size: 1256449, URLs: []string{wikitextURL + "test.txt"},
				Sum:    "sha256:d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
				Packed: []string{"a2b26b5d2619cc1f6cd34c8e116a451aed09af51479346aadfbf508ceb8b192e"}},
		},
	},
}

// mnistCatalog adds names, sizes and addresses to the sums of an MNIST family
// set.
func mnistCatalog(files [4]File, urls ...string) []File {
	sizes := [4]int64{16 + 60000*784, 8 + 60000, 16 + 10000*784, 8 + 10000}
	for i := range files {
		f := &files[i]
		f.Name, f.Size = mnistFiles[i], sizes[i]
		for _, u := range urls {
			f.URLs = append(f.URLs, u+f.Name+".gz")
		}
	}
	return files[:]
}

var forms = map[string]form{
	"optdigits": optdigitsForm{},
	"mnist": mnistForm{train: 60000, test: 10000, side: 28, mean: 0.1307, std: 0.3081,
		names: []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}},
	"fashion-mnist": mnistForm{train: 60000, test: 10000, side: 28, mean: 0.2860, std: 0.3530,
		names: []string{"t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"}},
	"cifar10": cifarForm{
		train:   []string{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
		test:    []string{"test_batch.bin"},
		records: 10000, tests: 10000, classes: 10,
		mean: []float32{0.4914, 0.4822, 0.4465}, std: []float32{0.2470, 0.2435, 0.2616},
		names: []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}},
	"cifar100": cifarForm{
		train: []string{"train.bin"}, test: []string{"test.bin"},
		records: 50000, tests: 10000, coarse: 20, classes: 100,
		mean: []float32{0.5071, 0.4865, 0.4409}, std: []float32{0.2673, 0.2564, 0.2762}},
	"tiny-shakespeare": charForm{file: "input.txt"},
	"wikitext-2":       wordForm{train: "train.txt", valid: "valid.txt", test: "test.txt"},
}
