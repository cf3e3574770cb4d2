// The library as C# calls it, through both kinds of P/Invoke. Prints one line a check, one line "result KIND JSON" for the runner to compare with what
// C sees, and "N passed, N failed". The runner sets DEFENDER_XDR_LIBRARY and DEFENDER_XDR_EMULATOR, and gives tenant, client ID and secret.

using System.Reflection;
using System.Runtime.InteropServices;

namespace DefenderXdr.Tests;

internal static class Program
{
    public const string Library = "defender_xdr";

    private static int Main(string[] args)
    {
        NativeLibrary.SetDllImportResolver(
            Assembly.GetExecutingAssembly(),
            (name, _, _) => name == Library ? NativeLibrary.Load(Environment.GetEnvironmentVariable("DEFENDER_XDR_LIBRARY")!) : 0);
        var (passed, failed) = (0, 0);
        foreach (var run in new[] { new Suite<Modern>("LibraryImport", args).Run, new Suite<Classic>("DllImport", args).Run })
        {
            var (good, bad) = run();
            passed += good;
            failed += bad;
        }
        Console.WriteLine($"{passed} passed, {failed} failed");
        return failed == 0 && passed > 0 ? 0 : 1;
    }
}
