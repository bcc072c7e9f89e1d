// The known answers of signature schemes, with their origin (crypto/availability.hpp says how they are used).
#include "crypto/availability.hpp"

namespace qanat::crypto {

namespace {

// PKCS#8. Made for this table: it protects nothing.
constexpr const char* kRsaKey =
    "308204bd020100300d06092a864886f70d0101010500048204a7308204a30201000282010100aad8cd8817c5c0bc3f09fdd2"
    "4dcfd91e08aec0ff0a206d82cbf38dffbebfdef5e285b9305a64daf891f7f755436693db307b78167c8814a443a215e40fbc"
    "b5fb298e7adb853817143b5b01f0b8e1dfc7bcb6d361864c45669ee9209c575d52e5d63314818f26c35ecb6d42149dfdf28e"
    "640ee7247237c1a696df913043952c42989677e49209e5912628b1670e1ee36ad28f38ebb2c1d756f0dbf29266108ad28fb1"
    "827d785570fbdeea1f66c3822f18669e4d2d178d46977b2112dd06135aeb5cda63d03def38dca7027c2207f99b3483c338c3"
    "d28bdaa0dfa6f8db7a231a2e60bd03c6f77c507a34399743198229f25dc84585158025e845480cb3f8cf993b020301000102"
    "8201004d1e86506b62b1a887d02bca15a3bfff05ae54a20b612dedbfc096159e761fdfe03bbaa76ff65cbd9dae4ff025f794"
    "c0797712731c0d953bbce7da77d2febd2abdcc79fac37cd93621c0e7f450906d224d363ddea4efa2d83add43022f9189cd03"
    "ce94f012bd4dad69a84d0edf6e7561ff1a970de59cf3860e4ea6cc2185a1af44674f13925bd9143f74420ccdf663a3a08311"
    "efea8afe224090aa4dd963f88f048e4b747012d8990fe1768b30c1728ec1fc65415c951062799b137f67f76ba2facbfb1684"
    "6e0a87a2b29e3a034431809162491bac1f4477935bb426f100283531f62987553792b8adf24dfd7c3424c7b8c0e4ce9e7614"
    "01b4f204e60989565902818100e5f5237a46c1e9b2cff9b2ba885deaa3911aa6ad54fb3aebbdf6e5f834fd413876671e9c7b"
    "b4a477a1a8f9689e37ee4b796da550c4d8d0f0a00d7a8c1e696d658a0299aa1dc009d52bf433da8e3607c71416dc97ae60b4"
    "1eeb7f1381c4a03db9b745b69a2cf3bb8248e28478d65c9b26ad7e7e9547755e4772b394e45aa311d702818100be31f1e2da"
    "3e760a1a1f8256931aca8884011a2618efe43ddd7787b8b7353ea7bc642b4ffdaa0259fcf88a76da36e234bd419f94cb2d4a"
    "53bce350c7f2e15fff7d5f193f52114d98bace07a60553e7273f69cf38ffa22d043a10e619036494912a603a076474ccde5e"
    "3790ed53383db8981893907dd7ce51bf08a720e5c54f3d0281807f7b830b8aa67dd46f8fd211aeffc1d0a3e4ce7a511e65ef"
    "c30459415cbef9a53f9eb34db516d406ae4c6ad820be8910b6649ebd44239ed1872971c2b4296648605648b212841fef59ca"
    "abe481ea5a2d7769a52941b6c2a45191c552af9ad61d5b08fece42156ce2315dc26aeb0bb3c7a16efae5ef13960cadfdf891"
    "0fde4f4902818100ab623813f2135cac67b3c2f01e6882de970ca33277401bcc7f77492e72b0a0ffe6ebe077991d8c36e894"
    "51b91d935d2ca6e9ae5216ef7dcd8d24ccd31012743db60c6ea4b75fee2b551178a4eaa21b662b673e1a9f87d4c6bd4822ff"
    "a1260e15ed387eb1d09ccb4b095d4ad4002c6ab99f1c6e444291a751d43188e0450c1205028180123909857bcdd4c0731f2b"
    "483489593781c46153b2e0d9cecfb2d3ee2f244f8ce720b742c9f7d4d49a06f75fc95415e9e3ddbc367f05d9eac2d9ab2c18"
    "5053b03042e0228a6ecaf44e53b9de1aa3a8d524f1af563558cae9e9d096ec540581af951c926c3479e4d049657106b243cc"
    "e7f6f4e44c637859e2e0aa6b6fbf79b1a4";

constexpr SignatureKnownAnswer kSignatures[] = {
    // RFC 6979 A.2.5
    {.scheme = SignatureScheme::EcdsaSha256,
     .private_key =
         "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420c9afa9d845ba75166b5c215767b1d6"
         "934e50c3db36e89b127b8a622b120f6721",
     .message = "73616d706c65",
     .signature = "3046022100efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716022100f7cb1c942d657c41d436"
                  "c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"},
    // RFC 6979 A.2.6
    {.scheme = SignatureScheme::EcdsaSha384,
     .private_key =
         "304e020100301006072a8648ce3d020106052b810400220437303502010104306b9d3dad2e1b8c1c05b19875b6659f4de23c"
         "3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5",
     .message = "73616d706c65",
     .signature = "306602310094edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80"
                  "fabe4602310099ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a"
                  "38628ac8"},
    // RFC 6979 A.2.7
    {.scheme = SignatureScheme::EcdsaSha512,
     .private_key =
         "3060020100301006072a8648ce3d020106052b8104002304493047020101044200fad06daa62ba3b25d2fb40133da757205d"
         "e67f5bb0018fee8c86e1b68c7e75caa896eb32f1f47c70855836a6d16fcc1466f6d8fbec67db89ec0c08b0e996b83538",
     .message = "73616d706c65",
     .signature = "308187024200c328fafcbd79dd77850370c46325d987cb525569fb63c5d3bc53950e6d4c5f174e25a1ee9017b5d450606add"
                  "152b534931d7d4e8455cc91f9b15bf05ec36e377fa0241617cce7cf5064806c467f678d3b4080d6f1cc50af26ca209417308"
                  "281b68af282623eaa63e5b5c0723d8b8c37ff0777b1a20f8ccb1dccc43997f1ee0e44da4a67a"},
    // RFC 8032 7.1, test 3
    {.scheme = SignatureScheme::Ed25519,
     .private_key = "302e020100300506032b657004220420c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     .message = "af82",
     .signature = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c"
                  "15e9716ed28dc027beceea1ec40a"},
    // RFC 8032 7.4, 1 octet
    {.scheme = SignatureScheme::Ed448,
     .private_key =
         "3047020100300506032b6571043b0439c4eab05d357007c632f3dbb48489924d552b08fe0c353a0d4a1f00acda2c463afbea"
         "67c5e8d2877c5e3bc397a659949ef8021e954e0a12274e",
     .message = "03",
     .signature = "26b8f91727bd62897af15e41eb43c377efb9c610d48f2335cb0bd0087810f4352541b143c4b981b7e18f62de8ccdf633fc1b"
                  "f037ab7cd779805e0dbcc0aae1cbcee1afb2e027df36bc04dcecbf154336c19f0af7e0a6472905e799f1953d2a0ff3348ab2"
                  "1aa4adafd1d234441cf807c03a00"},
    // by Python's pow(), RFC 8017 9.1
    {.scheme = SignatureScheme::RsaPssSha256,
     .private_key = kRsaKey,
     .message = "71616e6174",
     .signature = "2a8d99bbc4b90e9a9da6bb5cc032358d386eb499f85ea05394faa276a7737d13788d1f4e0412dc4835799d09d5ad8d9aed45"
                  "72b5701134e902cbe386c3e67ce479407ffbd7d56cca41993148d3338d5b54b7284747205bb1ec646317f0d6bf36a847df45"
                  "4d02c9402ad5cb09002d942fd232093d20c32c8300b899d6c79dd74160be9a4e184534cad493151278de89de4db44a5ec61e"
                  "c950c0552b0e5fdea9e0ea46bf651a728deaefe057728669a9df04925b9bfcc431047790675961e6821c570635f0aead990f"
                  "fe754be5f7ceb58c5f2ef7cebf76d6cd557f39c9653b7377cea02361d35e45e7857a7a1cb6917bc1b4db609c931fb1c52eaf"
                  "d6e35d583231"},
    // by Python's pow(), RFC 8017 9.1
    {.scheme = SignatureScheme::RsaPssSha384,
     .private_key = kRsaKey,
     .message = "71616e6174",
     .signature = "14d9c41610e12f8829b3342c0932a986a50148c3931593e4a03833dbe7f7293a17a9a6178b15c03501f357261eb479e47639"
                  "99fad66c4e6bf5ca7f0f24f17bd4efb2a81aa3ce17fa2d04e1f22a40ee20b99cdd86710bbbbf6b753e6e0f1a6c0b9af97b78"
                  "4d108e953df5b5ab85918cc320526a19b17bfea858667af0974913dd6ac48ab348d905c24e91c102c355d6ce982ce87f82f2"
                  "e3f4966c4bcf0c7ca80c4ac4d444adfeabd3469de998a5e62153c9cad89558a286a363f7faa15340f0b1092b2ec21895427a"
                  "d8e86cef6ecb22aa26661b8539f5dd0f522dbb30850b5949848527eda98c935207ee4764f09fb056242574c52cd89085f281"
                  "eb4a1d0a073f"},
    // by Python's pow(), RFC 8017 9.1
    {.scheme = SignatureScheme::RsaPssSha512,
     .private_key = kRsaKey,
     .message = "71616e6174",
     .signature = "65f00aa407ab7aff30ae154f37c62624b3ac704d3a0e35b1723666dc4bf04bf8215c11b39cf5fdc79ada835adbf4a26d627e"
                  "c2b573905076af22698e7c0f113c85ec8195ded9d1abe686d770dc4fab74a99c80740997726e4558835a07ad10e3d54179c3"
                  "f07bd8355f7f0f182b32a4cb917a19cc13a67bbaf60e51187ae6548dfa07dcaa044729df18f7795e135ed9584d316466cf0d"
                  "f6679cf00d543d994e561f2f43c76ff97a6236c289c28c42de15cc0ae3acf2d3c3589dc66922a2d98110d351fe3388d460c5"
                  "b493cae0e1d8150fcf9659d6a842149218a83a5d4ade449318c9345c40ae3379d382c0f3bc2f34125aa2bf8839055c45e913"
                  "d625a6038a83"},
    // by Python's pow(), RFC 8017 9.2
    {.scheme = SignatureScheme::RsaPkcs1Sha256,
     .private_key = kRsaKey,
     .message = "71616e6174",
     .signature = "012ae480197f06cc7e0d02c6c0f5ef9828de02e0b89e6eb971b3c645583ccad802475643cc6e75f259ffc2c2f336e566be7e"
                  "f5950bb6237edb2a921af9fa1c4847ff107792b644be583f5819885b48dd9240d756dfd220cf413c17abc9566fa50354e746"
                  "f354dff8f70530339d1b280cd260fb8a979ae9f21003b6374dd5256c8811b748998c787e4ee1475e9c22b2d3f2cad5079812"
                  "de9aee14059278a1affaec107bc3c50829c2131771148cac5cedcef9d9e21da48183ee8133a390b147ad75309fd363ce7a44"
                  "3a36761c741f9265134978464e97afd42fc5c16f1372311afdc69dd39bea710d964a5531f1ab1e60ed6cb5bc614f2c717761"
                  "45482e21dfa1"},
    // by Python's pow(), RFC 8017 9.2
    {.scheme = SignatureScheme::RsaPkcs1Sha384,
     .private_key = kRsaKey,
     .message = "71616e6174",
     .signature = "13ae9cac47966fb18b2b056296b97035251dbaae60ab99c58ef2f35e73f7ebea6cc963863214800e07681008eb2b2947a5bf"
                  "8baf9be932e7c6446ada0ac3f455e8e13478ade23c89395070f5cc2c8cdf6094fdcaeaaa40b8120f26623cd9d953af6214d0"
                  "3cceb618ab02166361063cbae49bd1d47b0ee7be7bf44876ced35c9b981e71a5ab8d3d540ecac222a277afbac1eb7cfb6784"
                  "001960b219c828166ea2e5756df69312a11617afd0ad0e3665cf1355f9c78ad3c81d259847f77c6b59c42d3f9ad9af36998c"
                  "fa8cebc54f06c4a890ef8a59ad564a33e28a0bea6398114f8d003d53170c09826797e5d80c0beee9f67e4d37c6ca01ff64a9"
                  "6898ee5a707c"},
    // by Python's pow(), RFC 8017 9.2
    {.scheme = SignatureScheme::RsaPkcs1Sha512,
     .private_key = kRsaKey,
     .message = "71616e6174",
     .signature = "8d3c5b15539992a104d363f4ed6429be109da81bf5f2901271fde7db1b76cf5b5fbea13a77f7d118a83bf25de267451e02e4"
                  "86219965b049a40e4ef5d4ed8bc3dd3b8635a6eea9971bdb0e1bac363188944eba61c9ac59f9d7cc38daff2d93e0fddf837f"
                  "5a3095522d42e1ee16d7a554d1a28e42144c1ea1bec5af67e105a3c724dee4b47597b923ddccaa57bcbf87a4e3c726e6cb10"
                  "1ac0a6de4a9c1077a4857176db53285e23b076f75e298a6819d3e0db7b6762862b6811dd055b0b2dc09a6807adf931adf62d"
                  "a2eae619cfe67c59b1c702dd0c56fb75bf97f9a392fa40ef1d7061059417c5bb69e1add430dcdfd7f6cb9a50ff2b6a12524a"
                  "004e51d86704"},
    // seed, message and signature of Project Wycheproof, mldsa_44_sign_seed tcId 1; the signature's SHA-256
    {.scheme = SignatureScheme::MlDsa44,
     .private_key =
         "3034020100300b0609608648016503040311042280202a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a"
         "2a2a2a2a",
     .message = "48656c6c6f20776f726c64",
     .signature_hash = "8cd6fc03daa72e87210a4e721523e84c14f27733789075e65736744d4787fdd5"},
    // seed, message and signature of Project Wycheproof, mldsa_65_sign_seed tcId 1; the signature's SHA-256
    {.scheme = SignatureScheme::MlDsa65,
     .private_key =
         "3034020100300b0609608648016503040312042280202a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a"
         "2a2a2a2a",
     .message = "48656c6c6f20776f726c64",
     .signature_hash = "39fbbb0d97a52c79844213b325af823a7f16a174e00a5b3daeb3e6e6d1c89681"},
    // seed, message and signature of Project Wycheproof, mldsa_87_sign_seed tcId 1; the signature's SHA-256
    {.scheme = SignatureScheme::MlDsa87,
     .private_key =
         "3034020100300b0609608648016503040313042280202a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a"
         "2a2a2a2a",
     .message = "48656c6c6f20776f726c64",
     .signature_hash = "1ad45bd0419e694375bd38ec11d8e0c228ab9ffac2fce4adbe6218d9c949e293"},
};

}  // namespace

std::span<const SignatureKnownAnswer> signature_known_answers() {
  return kSignatures;
}

}  // namespace qanat::crypto
