internal import JOSE

/// A value of a YAML file and where it stands.
struct YAMLNode {
    indirect enum Content {
        /// `isPlain`: without quotes, so that YAML may take it for something else than text.
        case scalar(String, isPlain: Bool)
        case list([YAMLNode])
        case mapping([Entry])
        /// Something that has been reported already.
        case refused
    }

    struct Entry {
        let key: String
        let place: Place
        let value: YAMLNode
    }

    let place: Place
    let content: Content

    /// What stands under `key` in a mapping.
    func value(of key: String) -> YAMLNode? {
        guard case .mapping(let entries) = content else { return nil }
        return entries.first { ExactString($0.key) == ExactString(key) }?.value
    }
}
