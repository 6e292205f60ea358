"""The functions that make bash, zsh and fish ask `fluxctl` what may follow."""

from __future__ import annotations

from typing import Final

BASH: Final = r"""# fluxctl completion for bash; load it with:  source <(fluxctl completion bash)
_fluxctl() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            :files) compopt -o default 2>/dev/null; return ;;
            :directories) compopt -o dirnames 2>/dev/null; return ;;
            *) COMPREPLY+=("$line") ;;
        esac
    done < <(_FLUXCTL_COMPLETE=bash _FLUXCTL_COMP_TYPE=$COMP_TYPE \
        "${COMP_WORDS[0]}" "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o nosort -F _fluxctl fluxctl
"""

ZSH: Final = r"""#compdef fluxctl
# fluxctl completion for zsh; load it with:  source <(fluxctl completion zsh)
_fluxctl() {
    local -a found
    found=("${(@f)$(_FLUXCTL_COMPLETE=zsh ${words[1]} "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    case ${found[1]} in
        '') return 1 ;;
        :files) _files ;;
        :directories) _files -/ ;;
        *) _describe -V 'fluxctl' found ;;
    esac
}
if [[ ${funcstack[1]} == _fluxctl ]]; then
    _fluxctl "$@"
else
    compdef _fluxctl fluxctl
fi
"""

FISH: Final = r"""# fluxctl completion for fish; load it with:  fluxctl completion fish | source
function __fluxctl_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    set -l found (env _FLUXCTL_COMPLETE=fish $before[1] $before[2..-1] "$current" 2>/dev/null)
    switch "$found[1]"
        case :files
            __fish_complete_path "$current"
        case :directories
            __fish_complete_directories "$current" ''
        case '*'
            printf '%s\n' $found
    end
end
complete -c fluxctl -f -k -a '(__fluxctl_complete)'
"""

SCRIPTS: Final = {"bash": BASH, "zsh": ZSH, "fish": FISH}
