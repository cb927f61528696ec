/// Turns a mosquitto.conf, with its include_dir, password file and ACL file, into a configuration of ours.
///
/// Every line ends in one of three heaps: mapped, not needed, unsupported; nothing is left out without a word. Where the
/// two brokers differ, the imported file is the stricter of the two, and says so.
package struct MosquittoImporter {
    let files: ConfigurationFiles
    /// The file that was named, for paths relative to it.
    let path: String
    let broker = MosquittoSection()
    /// The listener of `port` and of what stands before the first `listener`.
    let defaultListener = MosquittoSection()
    var listeners: [MosquittoSection] = []
    var bridges: [MosquittoSection] = []
    var remarks: [(line: MosquittoLine, fate: ImportRemark.Fate, text: String)] = []
    var warnings: [ImportWarning] = []
    var attachments: [ImportedConfiguration.File] = []
    /// Whether each listener has logins and rules of its own.
    var isPerListener = false
    /// `limits.max_packet`; no queue may be smaller.
    var packetBytes = 1 << 20
    private var order: [MosquittoLine] = []

    /// - Throws: when the file cannot be read.
    package static func configuration(
        path: String,
        files: ConfigurationFiles = .disk
    ) throws(ImportFailure) -> ImportedConfiguration {
        var importer = MosquittoImporter(files: files, path: path)
        try importer.read(path)
        return importer.build()
    }

    private init(files: ConfigurationFiles, path: String) {
        self.files = files
        self.path = path
    }

    // MARK: - Reading

    func text(of path: String) throws(ImportFailure) -> String {
        do throws(ConfigurationFiles.Unreadable) {
            // Old files are in whatever the editor of their day wrote.
            return String(decoding: try files.content(path).bytes, as: UTF8.self)
        } catch {
            throw ImportFailure(description: "\(path) cannot be read: \(error.reason)")
        }
    }

    private mutating func read(_ path: String) throws(ImportFailure) {
        var listener: MosquittoSection?
        var bridge: MosquittoSection?
        for line in try allLines(of: path, depth: 0) {
            order.append(line)
            switch line.key {
            case "include_dir":
                keep(line, .mapped, "its files are read here")
            case "per_listener_settings":
                isPerListener = line.boolean ?? false
                broker.add(line)
            case "listener":
                let section = MosquittoSection(header: line)
                listeners.append(section)
                listener = section
            case "connection":
                let section = MosquittoSection(header: line)
                bridges.append(section)
                bridge = section
            case let key where key.hasPrefix("bridge_") || MosquittoKeys.ofBridges.contains(key):
                if let bridge {
                    bridge.add(line)
                } else {
                    keep(line, .unsupported, "it stands before any `connection`")
                }
            case let key where MosquittoKeys.ofListeners.contains(key):
                (listener ?? defaultListener).add(line)
            case let key
            where isPerListener && (MosquittoKeys.ofSecurity.contains(key) || key.hasPrefix("auth_opt_")):
                (listener ?? defaultListener).add(line)
            default:
                broker.add(line)
            }
        }
        if isPerListener, !defaultListener.has("port"), !defaultListener.has("bind_address"), !listeners.isEmpty {
            // What stands before the first listener is for one that does not exist.
            for line in defaultListener.lines where MosquittoKeys.ofSecurity.contains(line.key) { broker.add(line) }
        }
    }

    /// The lines of a file with those of the folders that it includes in their places.
    private func allLines(of path: String, depth: Int) throws(ImportFailure) -> [MosquittoLine] {
        guard depth < 10 else { throw ImportFailure(description: "\(path): include_dir goes round in circles") }
        var all: [MosquittoLine] = []
        for line in MosquittoLine.lines(of: try text(of: path), file: path) {
            all.append(line)
            guard line.key == "include_dir" else { continue }
            let folder = resolve(line.value)
            let paths: [String]
            do throws(ConfigurationFiles.Unreadable) {
                paths = try files.matches(folder + (folder.hasSuffix("/") ? "*.conf" : "/*.conf"))
            } catch {
                throw ImportFailure(description: "\(folder) cannot be read: \(error.reason)")
            }
            for included in paths { all += try allLines(of: included, depth: depth + 1) }
        }
        return all
    }

    /// A path of the old file. mosquitto takes relative ones from where it was started; beside the file is the best guess.
    func resolve(_ path: String) -> String { FilePath.resolve(path, besides: self.path) }

    // MARK: - Remarks

    mutating func keep(_ line: MosquittoLine, _ fate: ImportRemark.Fate, _ text: String = "") {
        remarks.append((line, fate, text))
    }

    mutating func warn(_ line: MosquittoLine?, _ text: String) {
        warnings.append(ImportWarning(place: line?.place, text: text))
    }

    private mutating func finish(_ section: MosquittoSection) {
        for line in section.left {
            if let reason = MosquittoKeys.notNeeded[line.key] {
                keep(line, .notNeeded, reason)
            } else if line.key.hasPrefix("auth_opt_") || line.key.hasPrefix("plugin_opt_") {
                keep(line, .unsupported, "it belongs to a plugin")
            } else if let reason = MosquittoKeys.risky[line.key] {
                keep(line, .unsupported, reason)
                warn(line, reason)
            } else if let reason = MosquittoKeys.unsupported[line.key] {
                keep(line, .unsupported, reason)
            } else {
                keep(line, .unsupported, "this word is not known")
            }
        }
    }

    // MARK: - Building

    private mutating func build() -> ImportedConfiguration {
        var sections: [TOMLText] = []
        func add(_ section: TOMLText) {
            if !section.isEmpty { sections.append(section) }
        }
        let general = generalTables()
        let doors = listenerTables()
        let access = accessTables()
        let links = linkTables()
        for section in [general, access, doors, links] { add(section) }

        // In per-listener files a section may have been read twice.
        for section in [broker, defaultListener] + listeners + bridges { finish(section) }
        let places = order.map { "\($0.file):\($0.number)" }
        var seen: Set<String> = []
        let sorted = remarks.compactMap { remark -> (Int, ImportRemark)? in
            let place = "\(remark.line.file):\(remark.line.number)"
            guard seen.insert(place).inserted, let at = places.firstIndex(of: place) else { return nil }
            return (
                at, ImportRemark(place: remark.line.place, key: remark.line.key, fate: remark.fate, text: remark.text)
            )
        }.sorted { $0.0 < $1.0 }.map(\.1)

        var toml = TOMLText()
        toml.comment(
            "Imported from \(path) by `drawbridge import mosquitto`. Behind a value stands the line it is from."
        )
        header(&toml, sorted)
        for section in sections {
            toml.blank()
            toml.append(section)
        }
        let main = ImportedConfiguration.File(name: "drawbridge.toml", text: toml.text, isSecret: false)
        return ImportedConfiguration(files: [main] + attachments, remarks: sorted, warnings: warnings)
    }

    private func header(_ toml: inout TOMLText, _ remarks: [ImportRemark]) {
        let unsupported = remarks.filter { $0.fate == .unsupported }
        if !unsupported.isEmpty {
            toml.comment("\nNot taken over:")
            for remark in unsupported {
                toml.comment("  \(remark.place): \(remark.key)\(remark.text.isEmpty ? "" : ": \(remark.text)")")
            }
        }
        if !warnings.isEmpty {
            toml.comment("\nLook at these:")
            for warning in warnings { toml.comment("  \(warning)") }
        }
    }
}
