"""The competition's score, PSNR and SSIM, scored files, submissions."""
