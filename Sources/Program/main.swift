import VAEDistCommand

Program.main()
